/** Overview: is it all right, compared with before? */

import { onPage } from "../address.ts";
import type { AlertEvents, Breakdown, BreakdownRow } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { changeOf } from "../compare.ts";
import type { Field } from "../filters.ts";
import { formatPercent, margin, visibleText } from "../format.ts";
import { isFiring, useRules } from "../parts/firing.ts";
import { useInView } from "../parts/in_view.ts";
import { Breakable, Link, Value } from "../parts/Link.tsx";
import { notFiltered } from "../parts/not_filtered.ts";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { recordTable } from "../parts/records.ts";
import { Spark } from "../parts/Spark.tsx";
import { NoFailure } from "../parts/States.tsx";
import { type Column, Table } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { twoLines } from "../parts/two_lines.tsx";
import { formatErrors } from "../sampling.ts";
import { view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { attentionRows } from "./attention.ts";
import { useAttention } from "./attention_question.ts";
import { Explain } from "./Explain.tsx";
import {
  breakdownTable,
  CONSUMER,
  ConsumersLink,
  FAILED,
  Milliseconds,
  RouteLink,
  requests,
  requestsBehind,
  seenText,
  withoutSort,
} from "./figures.tsx";
import { kindName } from "./kinds.ts";
import { countsConsumers, useRowsBeside } from "./rows_beside.ts";
import { overviewOf } from "./rule_views.ts";
import { Tiles } from "./Tiles.tsx";
import { LatencyPanel, RequestsPanel } from "./TimePanels.tsx";

/** Show the overview. */
export function Overview() {
  const below = useInView();
  return (
    <>
      <Explain />
      <Tiles />
      <div class="grid two">
        <RequestsPanel />
        <LatencyPanel />
      </div>
      <div ref={below.element} class="grid two">
        <AttentionPanel />
        <ErrorsPanel isSeen={below.isSeen} />
        <ConsumersPanel isSeen={below.isSeen} />
        <AlertsPanel isSeen={below.isSeen} />
      </div>
    </>
  );
}

const REQUESTS_OF_ROUTE = requests(["route"]);

/** An error rate that leads to the requests that failed. */
function ErrorRate({ row, by }: { row: BreakdownRow; by: Field }) {
  return <Link to={requestsBehind(row, [by], FAILED)}>{formatPercent(row.errorRate)}</Link>;
}

function AttentionPanel() {
  const resource = useAttention();
  return (
    <Panel
      title="Routes that need attention"
      resource={resource}
      isEmpty={(data) => data.rows.length === 0}
      table={breakdownTable}
    >
      {(data) => (
        <Table
          caption="Routes that need attention"
          rows={attentionRows(data).slice(0, 10)}
          keyOf={({ row }) => row.key.join(" ")}
          open={({ row }) => onPage(view.value, "routes", { route: row.key[0] ?? "" })}
          columns={[
            {
              title: "Route",
              isWide: true,
              cell: ({ row }) => <RouteLink route={row.key[0] ?? ""} />,
            },
            { title: "Requests", isNumber: true, cell: ({ row }) => REQUESTS_OF_ROUTE.cell(row) },
            { title: "Err %", isNumber: true, cell: ({ row }) => <ErrorRate row={row} by="route" /> },
            {
              title: `p95${margin(data.estimated)}`,
              isNumber: true,
              cell: ({ row }) => <Milliseconds row={row} by={["route"]} ms={row.p95Ms} />,
            },
            { title: "Why", isMinor: true, cell: ({ reason }) => <ChangeText change={reason} /> },
            {
              title: "Trend",
              isMinor: true,
              isTrend: true,
              cell: ({ row }) => <Spark values={row.series ?? []} label={`${row.requests} requests`} />,
            },
          ]}
        />
      )}
    </Panel>
  );
}

/** The most kinds of errors that are shown. */
const MAX_KINDS = 8;
/** Over longer ranges the overview does not count the consumers of errors: that reads the events themselves. */
const CONSUMERS_OVER_S = 6 * 3600;

function ErrorsPanel({ isSeen }: { isSeen: boolean }) {
  const resource = useQuestion<Breakdown>(
    isSeen
      ? question(
          "v1/breakdown",
          { by: "error_type,status_code", measures: "requests", sort: "requests", limit: MAX_KINDS },
          { also: FAILED },
        )
      : null,
  );
  const counts = countsConsumers(CONSUMERS_OVER_S);
  const beside = useRowsBeside(["error_type", "status_code"], counts ? ["firstSeen", "consumers"] : ["firstSeen"], {
    also: FAILED,
    limit: MAX_KINDS,
    isSeen: isSeen && resource.value.data !== null,
  });
  const since = (row: BreakdownRow) => seenText(beside(row.key)?.firstSeen);
  const columns: Column<BreakdownRow>[] = [
    { title: "Kind", isWide: true, cell: (row) => <KindLink row={row} /> },
    { title: "Status", cell: (row) => <Value field="status_code" value={row.key[1] ?? ""} /> },
    {
      title: "Count",
      isNumber: true,
      cell: requests(["error_type", "status_code"], [], formatErrors).cell,
    },
    { title: "Since", isShort: true, cell: since },
    ...(counts
      ? [
          {
            title: "Consumers",
            isNumber: true,
            isMinor: true,
            cell: (row: BreakdownRow) => (
              <ConsumersLink row={row} by={["error_type", "status_code"]} count={beside(row.key)?.consumers} />
            ),
          },
        ]
      : []),
  ];
  return (
    <Panel
      title="Errors"
      class="phone-first"
      resource={resource}
      isEmpty={(data) => data.rows.length === 0}
      empty={<NoFailure />}
      table={breakdownTable}
    >
      {(data) => (
        <Table
          caption="Kinds of errors"
          rows={data.rows}
          keyOf={(row) => row.key.join(" ")}
          open={(row) => onPage(view.value, "errors", { kind: row.key.join("|") })}
          columns={isPhone.value ? [kindInTwoLines(since)] : columns}
        />
      )}
    </Panel>
  );
}

/** A kind that leads to its details. */
function KindLink({ row }: { row: BreakdownRow }) {
  const [errorType = "", status = ""] = row.key;
  return (
    <Link to={onPage(view.value, "errors", { kind: row.key.join("|") })}>
      <Breakable text={visibleText(kindName(errorType, status), 60)} />
    </Link>
  );
}

/** Return the column of kinds for a phone. */
function kindInTwoLines(since: (row: BreakdownRow) => string): Column<BreakdownRow> {
  return twoLines({
    title: "Kind",
    class: "opens",
    first: (row) => (
      <>
        <KindLink row={row} /> <b>{formatErrors(row.requests)}</b>
      </>
    ),
    second: (row) => `${row.key[1]} · since ${since(row)}`,
  });
}

function ConsumersPanel({ isSeen }: { isSeen: boolean }) {
  const resource = useQuestion<Breakdown>(
    isSeen
      ? question(
          "v1/breakdown",
          { by: "consumer_id", measures: "requests,errorRate", sort: "requests", limit: 8 },
          { compares: true },
        )
      : null,
  );
  return (
    <Panel title="Consumers" resource={resource} isEmpty={(data) => data.rows.length === 0} table={breakdownTable}>
      {(data) => (
        <Table
          caption="Consumers with the most requests"
          rows={data.rows}
          keyOf={(row) => row.key[0] ?? ""}
          open={(row) => onPage(view.value, "consumers", { consumer: row.key[0] ?? "" })}
          columns={[
            CONSUMER,
            withoutSort(requests(["consumer_id"])),
            {
              title: "Change",
              isNumber: true,
              cell: (row) => (
                <ChangeText
                  change={changeOf(row.requests, row.previous?.requests, row.previous?.requests ?? 0, "none")}
                />
              ),
            },
            { title: "Err %", isNumber: true, cell: (row) => <ErrorRate row={row} by="consumer_id" /> },
          ]}
        />
      )}
    </Panel>
  );
}

/** What fires now, then the last alerts. */
function AlertsPanel({ isSeen }: { isSeen: boolean }) {
  const resource = useQuestion<AlertEvents>(
    isSeen ? question("v1/alert-events", { limit: 8 }, { isUnfiltered: true }) : null,
  );
  const rules = useRules().value.data?.alerts ?? [];
  const firing = rules.filter(isFiring);
  const rows = (data: AlertEvents) => [
    ...firing.map((rule) => ({
      id: rule.id,
      name: rule.name,
      state: "firing now",
      at: rule.state.since,
      to: overviewOf(rule),
    })),
    ...data.events.map(({ id, alert, name, kind, at }) => {
      const rule = rules.find((known) => known.id === alert);
      return {
        id,
        name,
        state: kind,
        at,
        to: rule === undefined ? onPage(view.value, "alerts") : overviewOf(rule, at),
      };
    }),
  ];
  return (
    <Panel
      title={firing.length === 0 ? "Alerts" : `Alerts: ${firing.length} firing now`}
      resource={resource}
      isEmpty={(data) => data.events.length + firing.length === 0}
      empty={<p class="state">No alert fired in this range.</p>}
      cannotFilter={notFiltered("rules have filters of their own")}
      table={(data) => recordTable(data.events, ["at", "name", "kind", "value", "threshold"])}
    >
      {(data) => (
        <Table
          caption="Rules that fire, and the last alerts"
          rows={rows(data).slice(0, 8)}
          keyOf={(row) => row.id}
          open={(row) => row.to}
          columns={[
            { title: "Rule", cell: (row) => <Link to={row.to}>{visibleText(row.name)}</Link> },
            {
              title: "State",
              cell: (row) => <span class={row.state === "firing now" ? "change bad" : ""}>{row.state}</span>,
            },
            {
              title: "When",
              cell: (row) => (row.at === null ? "" : formatTime(Date.parse(row.at) / 1000, zone.value)),
            },
          ]}
        />
      )}
    </Panel>
  );
}
