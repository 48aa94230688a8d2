/** Errors: which kinds of failure, since when, whom they hit. */

import { useSignal } from "@preact/signals";
import type { Breakdown, BreakdownRow, Timeseries } from "../api/answers.ts";
import { granularity, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { isUnfinished } from "../buckets.ts";
import { seriesToken } from "../charts/colours.ts";
import type { Filter } from "../filters.ts";
import { formatCount, formatExact } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { Value, valueText } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { Search } from "../parts/Search.tsx";
import { Table } from "../parts/Table.tsx";
import { stepSeconds } from "../ranges.ts";
import { frame, showWith, view } from "../state.ts";
import { withRest } from "./Consumers.tsx";
import { breakdownTable, CHANGE, FIRST_SEEN, LAST_SEEN, order, requests } from "./figures.tsx";
import { isEmpty, linesOf, tableOf, useDeploys } from "./Overview.tsx";
import { RequestList } from "./RequestList.tsx";
import { Dimension } from "./Routes.tsx";

const CLASSES = ["all", "4xx", "5xx"] as const;

/** Show the failures of the range. */
export function Errors() {
  const chosen = CLASSES.find((name) => name === view.value.own.class) ?? "all";
  const also = failures(chosen);
  return (
    <>
      <div class="segments" role="tablist" aria-label="Which errors">
        {CLASSES.map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={chosen === name}
            onClick={() => showWith({ own: name === "all" ? {} : { class: name } })}
          >
            {name}
          </button>
        ))}
      </div>
      <ErrorChart also={also} />
      <ErrorTable also={also} />
    </>
  );
}

function failures(chosen: (typeof CLASSES)[number]): Filter[] {
  const classes = chosen === "all" ? ["4xx", "5xx"] : [chosen];
  return classes.map((value) => ({ field: "status_class", value, kind: "is" }));
}

function ErrorChart({ also }: { also: readonly Filter[] }) {
  const { countStep, endS } = frame.value;
  const markers = useDeploys();
  const resource = useQuestion<Timeseries>(
    timeseries({ ...granularity(countStep), group: "error_type", limit: 6, rest: 1, fill: "zero" }, { also }),
  );
  const names = (data: Timeseries) => Object.keys(withRest(data).groups);
  return (
    <Panel
      title="Errors over time"
      resource={resource}
      isEmpty={isEmpty}
      empty={<p class="state">No request failed in this range.</p>}
      table={(data) => tableOf(withRest(data), names(data))}
    >
      {(data) => {
        const whole = withRest(data);
        const { times, lines } = linesOf(
          whole,
          names(data),
          (_, index) => seriesToken(index),
          (name) => valueText("error_type", name),
        );
        return (
          <Chart
            kind="bars"
            description={`Errors over time, by kind: ${lines.map(({ name }) => name).join(", ")}`}
            times={times}
            lines={lines}
            stepS={stepSeconds(countStep)}
            isUnfinished={isUnfinished(times, stepSeconds(countStep), endS, Date.now() / 1000)}
            format={formatCount}
            markers={markers}
          />
        );
      }}
    </Panel>
  );
}

function ErrorTable({ also }: { also: readonly Filter[] }) {
  const { sort, search, own } = view.value;
  const open = useSignal(own.kind ?? "");
  const resource = useQuestion<Breakdown>(
    question(
      "v1/breakdown",
      {
        by: "error_type,route,status_code",
        measures: "requests,firstSeen,lastSeen",
        ...order(sort ?? "-requests"),
        limit: 100,
        ...(search === null ? {} : { search }),
      },
      { compares: true, also },
    ),
  );
  const keyOf = (row: BreakdownRow) => row.key.join("|");
  const filtersOf = (row: BreakdownRow): Filter[] => [
    { field: "error_type", value: row.key[0] ?? "", kind: "is" },
    { field: "route", value: row.key[1] ?? "", kind: "is" },
    { field: "status_code", value: row.key[2] ?? "", kind: "is" },
  ];
  return (
    <Panel
      title="Kinds of errors"
      resource={resource}
      height={320}
      isEmpty={(data) => data.rows.length === 0}
      empty={<p class="state">No request failed in this range.</p>}
      table={breakdownTable}
      controls={<Search label="Search in error types" />}
    >
      {(data) => (
        <>
          <Table
            caption="Kinds of errors, by route and status"
            rows={data.rows}
            keyOf={keyOf}
            defaultSort="-requests"
            onOpen={(row) => {
              open.value = open.value === keyOf(row) ? "" : keyOf(row);
            }}
            isOpen={(row) => open.value === keyOf(row)}
            detail={(row) => <ErrorDetail also={filtersOf(row)} />}
            columns={[
              {
                title: "Kind",
                cell: (row) => (
                  <button
                    type="button"
                    class="value"
                    aria-expanded={open.value === keyOf(row)}
                    onClick={() => {
                      open.value = open.value === keyOf(row) ? "" : keyOf(row);
                    }}
                  >
                    {valueText("error_type", row.key[0] ?? "")}
                  </button>
                ),
              },
              { title: "Route", cell: (row) => <Value field="route" value={row.key[1] ?? ""} /> },
              { title: "Status", cell: (row) => <Value field="status_code" value={row.key[2] ?? ""} /> },
              {
                ...requests(["error_type", "route", "status_code"]),
                title: "Count",
              },
              CHANGE,
              FIRST_SEEN,
              LAST_SEEN,
            ]}
          />
          <p class="soft foot">{formatExact(data.pagination.total)} kinds</p>
        </>
      )}
    </Panel>
  );
}

function ErrorDetail({ also }: { also: readonly Filter[] }) {
  return (
    <div class="grid two">
      <Dimension title="Consumers" field="consumer_id" also={also} />
      <Dimension title="Versions" field="version" also={also} />
      <Dimension title="Sources" field="source" also={also} />
      <RequestList title="Last requests" limit={10} also={also} />
    </div>
  );
}
