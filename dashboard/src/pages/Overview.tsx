/** Overview: is it all right, compared with before? */

import { onPage } from "../address.ts";
import type { AlertEvents, Breakdown, BreakdownRow } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { changeOf } from "../compare.ts";
import { formatCount, formatMs, visibleText } from "../format.ts";
import { isFiring, useRules } from "../parts/firing.ts";
import { useInView } from "../parts/in_view.ts";
import { Link, Value } from "../parts/Link.tsx";
import { notFiltered } from "../parts/not_filtered.ts";
import { Panel } from "../parts/Panel.tsx";
import { recordTable } from "../parts/records.ts";
import { Spark } from "../parts/Spark.tsx";
import { Table } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { attentionRows } from "./attention.ts";
import { useAttention } from "./attention_question.ts";
import { Explain } from "./Explain.tsx";
import {
  breakdownTable,
  CONSUMER,
  CONSUMERS,
  errorRate,
  FAILED,
  RouteLink,
  requests,
  seenText,
  withoutSort,
} from "./figures.tsx";
import { kindName } from "./kinds.ts";
import { countsConsumers, useRowsBeside } from "./rows_beside.ts";
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
const ERRORS_OF_ROUTE = errorRate(["route"]);

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
              cell: ({ row }) => <RouteLink route={row.key[0] ?? ""} />,
            },
            { title: "Requests", isNumber: true, cell: ({ row }) => REQUESTS_OF_ROUTE.cell(row) },
            { title: "Err %", isNumber: true, cell: ({ row }) => ERRORS_OF_ROUTE.cell(row) },
            { title: "p95", isNumber: true, cell: ({ row }) => formatMs(row.p95Ms) },
            { title: "Why", isMinor: true, cell: ({ reason }) => <ChangeText change={reason} /> },
            {
              title: "Trend",
              isMinor: true,
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
  return (
    <Panel
      title="Errors"
      class="phone-first"
      resource={resource}
      isEmpty={(data) => data.rows.length === 0}
      empty={<p class="state">No request failed in this range.</p>}
      table={breakdownTable}
    >
      {(data) => (
        <Table
          caption="Kinds of errors"
          rows={data.rows}
          keyOf={(row) => row.key.join(" ")}
          open={(row) => onPage(view.value, "errors", { kind: row.key.join("|") })}
          columns={[
            {
              title: "Kind",
              cell: (row) => (
                <Link to={onPage(view.value, "errors", { kind: row.key.join("|") })}>
                  {visibleText(kindName(row.key[0] ?? "", row.key[1] ?? ""), 60)}
                </Link>
              ),
            },
            { title: "Status", cell: (row) => <Value field="status_code" value={row.key[1] ?? ""} /> },
            { title: "Count", isNumber: true, cell: (row) => requests(["error_type", "status_code"]).cell(row) },
            { title: "Since", isShort: true, cell: (row) => seenText(beside(row.key)?.firstSeen) },
            ...(counts
              ? [{ ...CONSUMERS, cell: (row: BreakdownRow) => formatCount(beside(row.key)?.consumers) }]
              : []),
          ]}
        />
      )}
    </Panel>
  );
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
            CONSUMERS,
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
            withoutSort(errorRate(["consumer_id"])),
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
  const firing = (useRules().value.data?.alerts ?? []).filter(isFiring);
  const rows = (data: AlertEvents) => [
    ...firing.map(({ id, name, state }) => ({ id, name, state: "firing now", at: state.since })),
    ...data.events.map(({ id, name, kind, at }) => ({ id, name, state: kind, at })),
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
          open={() => onPage(view.value, "alerts")}
          columns={[
            { title: "Rule", cell: (row) => row.name },
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
