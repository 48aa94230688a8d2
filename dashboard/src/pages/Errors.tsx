/** Errors: which kinds of failure, since when, whom they hit. */

import type { Breakdown, Timeseries } from "../api/answers.ts";
import { granularity, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { seriesToken } from "../charts/colours.ts";
import type { Filter } from "../filters.ts";
import { formatCounted, formatExact, visibleText } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { useChartMenu } from "../parts/chart_menu.tsx";
import { Value, valueText } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { Search } from "../parts/Search.tsx";
import { NoFailure } from "../parts/States.tsx";
import { type Column, Table } from "../parts/Table.tsx";
import { twoLines } from "../parts/two_lines.tsx";
import { stepSeconds } from "../ranges.ts";
import { formatErrors } from "../sampling.ts";
import { frame, showWith, view } from "../state.ts";
import { CHANGE, ConsumersLink, FIRST_SEEN, LAST_SEEN, requests, seenText } from "./figures.tsx";
import { type Kind, kindName, kindsOf } from "./kinds.ts";
import { RequestList } from "./RequestList.tsx";
import { Dimension } from "./Routes.tsx";
import { useConsumerCounts } from "./rows_beside.ts";
import { isEmpty, linesOf, OTHERS, tableOf, withRest } from "./series.ts";
import { useDeploys } from "./TimePanels.tsx";

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
  const { step: countStep, menu, coarsen } = useChartMenu(frame.value.countStep);
  const markers = useDeploys();
  const resource = useQuestion<Timeseries>(
    timeseries(
      { ...granularity(countStep), group: ["error_type", "status_code"], limit: 6, rest: 1, fill: "zero" },
      { also, compares: true },
    ),
  );
  const names = (data: Timeseries) => Object.keys(withRest(data).groups);
  return (
    <Panel
      title="Errors over time"
      resource={resource}
      controls={menu}
      coarsen={coarsen}
      isEmpty={isEmpty}
      empty={<NoFailure />}
      table={(data) => tableOf(withRest(data), names(data), groupName)}
    >
      {(data) => {
        const whole = withRest(data);
        const { times, lines } = linesOf(
          whole,
          names(data),
          (name, index) => (name === OTHERS ? "--other" : seriesToken(index)),
          groupName,
        );
        return (
          <Chart
            kind="bars"
            description={`Errors over time, by kind: ${names(data).map(groupName).join(", ")}`}
            times={times}
            lines={lines}
            stepS={stepSeconds(countStep)}
            format={formatErrors}
            markers={markers}
          />
        );
      }}
    </Panel>
  );
}

/** Return the words of a group of error type and status. */
function groupName(name: string): string {
  if (name === OTHERS) return name;
  const [errorType = "", status = ""]: string[] = JSON.parse(name);
  return `${visibleText(kindName(errorType, status), 60)} ${status}`;
}

const DEFAULT_SORT = "-requests";
const MEASURES = "requests,firstSeen,lastSeen";
/** The most rows of kind, route and status that are asked for. */
const MAX_ROWS = 1000;

function ErrorTable({ also }: { also: readonly Filter[] }) {
  const { sort, search, own } = view.value;
  const parameters = {
    by: "error_type,route,status_code",
    measures: MEASURES,
    sort: "requests",
    limit: MAX_ROWS,
    ...(search === null ? {} : { search }),
  };
  const resource = useQuestion<Breakdown>(question("v1/breakdown", parameters, { compares: true, also }));
  const consumers = useConsumerCounts(["error_type", "status_code"], { also });
  const keyOf = (kind: Kind) => kind.key.join("|");
  const isOpen = (kind: Kind) => own.kind === keyOf(kind);
  const toggle = (kind: Kind) => {
    const { kind: _, ...rest } = own;
    showWith({ own: isOpen(kind) ? rest : { ...rest, kind: keyOf(kind) } });
  };
  const filtersOf = (kind: Kind): Filter[] => [
    { field: "error_type", value: kind.key[0] ?? "", kind: "is" },
    { field: "status_code", value: kind.key[1] ?? "", kind: "is" },
  ];
  const name: Column<Kind> = {
    title: "Kind",
    cell: (kind) => (
      <button type="button" class="value" aria-expanded={isOpen(kind)} onClick={() => toggle(kind)}>
        {visibleText(kindName(kind.key[0] ?? "", kind.key[1] ?? ""), 60)}
      </button>
    ),
  };
  const columns: Column<Kind>[] = [
    name,
    {
      title: "Route",
      cell: (kind) =>
        kind.routes.length === 1 ? (
          <Value field="route" value={kind.routes[0] ?? ""} />
        ) : (
          <span class="soft">({kind.routes.length} routes)</span>
        ),
    },
    { title: "Status", cell: (kind) => <Value field="status_code" value={kind.key[1] ?? ""} /> },
    { ...requests(["error_type", "status_code"], [], formatErrors), title: "Count" },
    CHANGE,
    ...(consumers === undefined
      ? []
      : [
          {
            title: "Consumers",
            isNumber: true,
            isMinor: true,
            cell: (kind: Kind) => (
              <ConsumersLink row={kind} by={["error_type", "status_code"]} count={consumers(kind.key)} />
            ),
          },
        ]),
    FIRST_SEEN,
    LAST_SEEN,
  ];
  return (
    <Panel
      title="Kinds of errors"
      resource={resource}
      height={320}
      isEmpty={(data) => data.rows.length === 0 && search === null}
      empty={<NoFailure />}
      table={(data) => ({
        header: ["Kind", "Error type", "Status", "Count", "First seen", "Last seen", "Routes"],
        rows: kindsOf(data, sort ?? DEFAULT_SORT).map((kind) => [
          kindName(kind.key[0] ?? "", kind.key[1] ?? ""),
          kind.key[0] ?? "",
          kind.key[1] ?? "",
          kind.requests ?? null,
          kind.firstSeen ?? null,
          kind.lastSeen ?? null,
          kind.routes.join(", "),
        ]),
      })}
      controls={<Search label="Search in error types" />}
    >
      {(data) => {
        const kinds = kindsOf(data, sort ?? DEFAULT_SORT);
        return (
          <>
            <Table
              caption="Kinds of errors, by status"
              rows={kinds}
              keyOf={keyOf}
              defaultSort={DEFAULT_SORT}
              onOpen={toggle}
              isOpen={isOpen}
              detail={(kind) => <ErrorDetail also={filtersOf(kind)} hasRoutes={kind.routes.length > 1} />}
              columns={isPhone.value ? [kindInTwoLines(name)] : columns}
            />
            <p class="soft foot">
              {formatCounted(kinds.length, "kind")}
              {data.pagination.hasMore ? `, of the ${formatExact(MAX_ROWS)} most frequent on a route` : ""}
            </p>
          </>
        );
      }}
    </Panel>
  );
}

/** Return the column of kinds for a phone, from the column of their names. */
function kindInTwoLines(name: Column<Kind>): Column<Kind> {
  return twoLines<Kind>({
    title: "Kind",
    class: "opens",
    first: (kind) => (
      <>
        {name.cell(kind)} <b>{formatErrors(kind.requests)}</b>
      </>
    ),
    second: (kind) => (
      <>
        {kind.key[1]}{" "}
        {kind.routes.length === 1 ? valueText("route", kind.routes[0] ?? "") : `(${kind.routes.length} routes)`} ·{" "}
        {CHANGE.cell(kind)} · since {seenText(kind.firstSeen)}
      </>
    ),
    sorts: [{ ...requests([]), title: "Count" }, CHANGE, FIRST_SEEN],
  });
}

function ErrorDetail({ also, hasRoutes }: { also: readonly Filter[]; hasRoutes: boolean }) {
  return (
    <div class="grid">
      <div class="grid two">
        <TimeLine also={also} />
        {hasRoutes && <Dimension title="Routes" field="route" also={also} />}
        <Dimension title="Versions" field="version" also={also} />
        <Dimension title="Sources" field="source" also={also} />
        <Dimension title="Consumers" field="consumer_id" also={also} />
      </div>
      <RequestList title="Last requests" limit={10} also={also} />
    </div>
  );
}

/** One kind over time. */
function TimeLine({ also }: { also: readonly Filter[] }) {
  const { countStep } = frame.value;
  const markers = useDeploys();
  const resource = useQuestion<Timeseries>(
    timeseries({ ...granularity(countStep), fill: "zero" }, { also, compares: true }),
  );
  return (
    <Panel
      title="Over time"
      resource={resource}
      height={120}
      isEmpty={isEmpty}
      table={(data) => tableOf(data, Object.keys(data.groups), () => "requests")}
    >
      {(data) => {
        const { times, lines } = linesOf(
          data,
          Object.keys(data.groups),
          () => "--status-5xx",
          () => "requests",
        );
        return (
          <Chart
            kind="bars"
            description="This kind of error over time"
            times={times}
            lines={lines}
            height={120}
            stepS={stepSeconds(countStep)}
            format={formatErrors}
            markers={markers}
          />
        );
      }}
    </Panel>
  );
}
