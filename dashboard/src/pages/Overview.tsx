/** Overview: is it all right, compared with before? */

import { onPage } from "../address.ts";
import type { AlertEvents, Breakdown, Summary, Timeseries, Versions } from "../api/answers.ts";
import { granularity, otherSpan, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { align, isUnfinished } from "../buckets.ts";
import { STATUS_TOKENS } from "../charts/colours.ts";
import type { Line } from "../charts/lines.ts";
import type { Marker } from "../charts/plot.ts";
import { changeInPoints, changeOf } from "../compare.ts";
import type { Filter } from "../filters.ts";
import {
  formatCount,
  formatDuration,
  formatExact,
  formatMs,
  formatPercent,
  formatRate,
  visibleText,
} from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { useChartMenu } from "../parts/chart_menu.tsx";
import { useInView } from "../parts/in_view.ts";
import { Link, Value, valueText } from "../parts/Link.tsx";
import { Panel, type PanelTable } from "../parts/Panel.tsx";
import { recordTable } from "../parts/records.ts";
import { Spark } from "../parts/Spark.tsx";
import { Table } from "../parts/Table.tsx";
import { ChangeText, Tile } from "../parts/Tile.tsx";
import { stepSeconds } from "../ranges.ts";
import { binding, isShared } from "../shared.ts";
import { application, frame, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { attentionRows } from "./attention.ts";
import { useAttention } from "./attention_question.ts";
import { Explain } from "./Explain.tsx";
import { breakdownTable, errorRate, requests, withoutSort } from "./figures.tsx";

/** What a panel takes to show a part of the requests: one route, one consumer. */
export interface Narrowed {
  also?: readonly Filter[];
}

const NO_FILTERS: readonly Filter[] = [];
const CLASSES = ["5xx", "4xx", "3xx", "2xx"];

/** Show the overview. */
export function Overview() {
  const below = useInView();
  return (
    <>
      <Tiles />
      <Explain />
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

/** The tiles of the totals, for the whole page or under further filters. */
export function Tiles({ also = NO_FILTERS }: Narrowed) {
  const resource = useQuestion<Summary>(question("v1/summary", {}, { also }), true);
  // The other period is a question of its own, so that the figures do not wait for it.
  const span = otherSpan();
  const other = useQuestion<Summary>(span === null ? null : question("v1/summary", {}, { also, span })).value;
  return (
    <Panel title="Totals" class="tiles" resource={resource} height={86}>
      {(summary) => {
        const before = other.isCurrent && resource.value.isCurrent ? (other.data ?? undefined) : undefined;
        const requestsBefore = before?.requests ?? 0;
        const compare = before !== undefined;
        const here = { ...view.value, filters: [...view.value.filters, ...also] };
        const estimate = summary.estimated ? " ±2 %" : "";
        return (
          <dl class="tile-row">
            <Tile
              label="Requests"
              value={formatCount(summary.requests)}
              exact={formatExact(summary.requests)}
              change={compare ? changeOf(summary.requests, before.requests, requestsBefore, "none") : null}
              to={onPage(here, "requests")}
            />
            <Tile
              label="Error rate"
              value={formatPercent(summary.errorRate)}
              exact={`${formatExact(summary.errors)} errors: ${formatExact(summary.clientErrors)} 4xx, ${formatExact(summary.serverErrors)} 5xx`}
              change={compare ? changeInPoints(summary.errorRate, before.errorRate, requestsBefore, "lower") : null}
              to={onPage(here, "errors")}
            />
            <Tile
              label={`p95${estimate}`}
              value={formatMs(summary.p95Ms)}
              exact={`p50 ${formatMs(summary.p50Ms)}, p99 ${formatMs(summary.p99Ms)}, longest ${formatMs(summary.maxMs)}`}
              change={compare ? changeOf(summary.p95Ms, before.p95Ms, requestsBefore, "lower", formatMs) : null}
              to={onPage(here, "latency")}
            />
            <Tile
              label="Requests per minute"
              value={formatRate(summary.requestsPerMinute)}
              to={onPage(here, "requests")}
              note={`peak ${formatCount(summary.peakRequestsPerMinute)}`}
            />
            {!binding.value?.oneConsumer && (
              <Tile
                label="Consumers"
                value={formatCount(summary.consumers)}
                change={compare ? changeOf(summary.consumers, before.consumers, requestsBefore, "none") : null}
                to={onPage(here, "consumers")}
              />
            )}
          </dl>
        );
      }}
    </Panel>
  );
}

/** Requests over time, by class of the status. */
export function RequestsPanel({ also = NO_FILTERS }: Narrowed) {
  const { endS } = frame.value;
  const { step: countStep, menu } = useChartMenu(frame.value.countStep);
  const resource = useQuestion<Timeseries>(
    timeseries({ ...granularity(countStep), group: "status_class", fill: "zero" }, { also }),
  );
  const markers = useDeploys();
  return (
    <Panel
      title="Requests by status"
      resource={resource}
      isEmpty={isEmpty}
      table={(data) => tableOf(data, CLASSES)}
      controls={
        <>
          {menu}
          {application.value?.recorded.versions === false && !isShared.value && (
            <span class="soft">
              Set <code>version=</code> to see deploys here.
            </span>
          )}
        </>
      }
    >
      {(data) => {
        const { times, lines } = linesOf(data, CLASSES, (name) => STATUS_TOKENS[name] ?? "--other");
        const sum = lines.reduce(
          (all, { values }) => all + values.reduce<number>((one, value) => one + (value ?? 0), 0),
          0,
        );
        return (
          <Chart
            kind="bars"
            description={`Requests by status, ${formatExact(sum)} in all`}
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

const PERCENTILES = ["percentile_50", "percentile_95", "percentile_99"];
const PERCENTILE_NAMES = ["p50", "p95", "p99"];

/** Percentiles of the response time over time, the other period's p95 dotted. */
export function LatencyPanel({ also = NO_FILTERS }: Narrowed) {
  const { endS } = frame.value;
  const { step: percentileStep, isLog, menu } = useChartMenu(frame.value.percentileStep, { hasLog: true });
  const resource = useQuestion<Timeseries>(
    timeseries({ ...granularity(percentileStep), aggregation: PERCENTILES, fill: "null" }, { compares: true, also }),
  );
  const markers = useDeploys();
  return (
    <Panel title="Latency" resource={resource} isEmpty={hasNoPoint} table={percentileTable} controls={menu}>
      {(data) => {
        const { times, lines } = percentileLines(data);
        return (
          <Chart
            kind="lines"
            description="Response time, percentiles 50, 95 and 99"
            times={times}
            lines={lines}
            stepS={stepSeconds(percentileStep)}
            isUnfinished={isUnfinished(times, stepSeconds(percentileStep), endS, Date.now() / 1000)}
            format={formatDuration}
            markers={markers}
            isLog={isLog}
          />
        );
      }}
    </Panel>
  );
}

/** Return the deploys of the range as markers of charts. */
export function useDeploys(): readonly Marker[] {
  const resource = useQuestion<Versions>(question("v1/versions", {}, { isUnfiltered: true }));
  const versions = resource.value.data?.versions;
  return versions === undefined ? NO_MARKERS : markersOf(versions);
}

const NO_MARKERS: readonly Marker[] = [];
const markersByVersions = new WeakMap<object, readonly Marker[]>();

function markersOf(versions: Versions["versions"]): readonly Marker[] {
  const known = markersByVersions.get(versions);
  if (known !== undefined) return known;
  const markers = versions.map(({ version, firstSeen, isReturn }) => ({
    timeS: Date.parse(firstSeen) / 1000,
    label: visibleText(isReturn ? `↩ ${version}` : version, 40),
  }));
  markersByVersions.set(versions, markers);
  return markers;
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
              cell: ({ row }) => (
                <Link to={onPage(view.value, "routes", { route: row.key[0] ?? "" })}>
                  {valueText("route", row.key[0] ?? "")}
                </Link>
              ),
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

function ErrorsPanel({ isSeen }: { isSeen: boolean }) {
  const failed = { field: "status_code", value: "2xx", kind: "not" } as const;
  const resource = useQuestion<Breakdown>(
    isSeen
      ? question(
          "v1/breakdown",
          { by: "error_type,status_code", measures: "requests", sort: "requests", limit: 8 },
          { also: [failed, { ...failed, value: "3xx" }, { ...failed, value: "1xx" }] },
        )
      : null,
  );
  return (
    <Panel
      title="Errors"
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
            { title: "Kind", cell: (row) => <Value field="error_type" value={row.key[0] ?? ""} /> },
            { title: "Status", cell: (row) => <Value field="status_code" value={row.key[1] ?? ""} /> },
            {
              title: "Count",
              isNumber: true,
              cell: (row) => requests(["error_type", "status_code"]).cell(row),
            },
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
            {
              title: "Consumer",
              cell: (row) => (
                <Link to={onPage(view.value, "consumers", { consumer: row.key[0] ?? "" })}>
                  {valueText("consumer_id", row.key[0] ?? "")}
                </Link>
              ),
            },
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

function AlertsPanel({ isSeen }: { isSeen: boolean }) {
  const resource = useQuestion<AlertEvents>(
    isSeen ? question("v1/alert-events", { limit: 8 }, { isUnfiltered: true }) : null,
  );
  return (
    <Panel
      title="Alerts"
      resource={resource}
      isEmpty={(data) => data.events.length === 0}
      empty={<p class="state">No alert fired in this range.</p>}
      table={(data) => recordTable(data.events, ["at", "name", "kind", "value", "threshold"])}
    >
      {(data) => (
        <Table
          caption="Last alerts"
          rows={data.events}
          keyOf={(event) => event.id}
          open={() => onPage(view.value, "alerts")}
          columns={[
            { title: "Rule", cell: (event) => event.name },
            { title: "State", cell: (event) => event.kind },
            { title: "When", cell: (event) => formatTime(Date.parse(event.at) / 1000, zone.value) },
          ]}
        />
      )}
    </Panel>
  );
}

const linesByAnswer = new WeakMap<object, { times: number[]; lines: Line[] }>();

/** Return the groups of an answer with one aggregation as lines, in the order of `names`; absent ones are left out. */
export function linesOf(
  data: Timeseries,
  names: readonly string[],
  token: (name: string, index: number) => string,
  label: (name: string) => string = (name) => name,
): { times: number[]; lines: Line[] } {
  const known = linesByAnswer.get(data);
  if (known !== undefined) return known;
  const groups: Record<string, [number, number | null][]> = {};
  for (const name of names) {
    const points = data.groups[name];
    if (points !== undefined) groups[name] = points.map(([timeS, value]) => [timeS, value ?? null]);
  }
  const { times, series } = align(groups, 0);
  const lines = series.map(({ name, values }, index) => ({ name: label(name), token: token(name, index), values }));
  const result = { times, lines };
  linesByAnswer.set(data, result);
  return result;
}

/** Return the percentiles of an answer as lines, and the other period's p95. */
export function percentileLines(data: Timeseries): { times: number[]; lines: Line[] } {
  const known = linesByAnswer.get(data);
  if (known !== undefined) return known;
  const points = Object.values(data.groups)[0] ?? [];
  const times = points.map(([timeS]) => timeS);
  const lines: Line[] = PERCENTILE_NAMES.map((name, index) => ({
    name,
    token: `--${name}`,
    values: points.map((point) => point[index + 1] ?? null),
  }));
  const before = Object.values(data.previous?.groups ?? {})[0];
  if (before !== undefined) {
    lines.push({
      name: "p95 before",
      token: "--soft",
      isOther: true,
      values: times.map((_, index) => before[index]?.[2] ?? null),
    });
  }
  const result = { times, lines };
  linesByAnswer.set(data, result);
  return result;
}

/** Return the figures of several groups as a table. */
export function tableOf(data: Timeseries, names: readonly string[]): PanelTable {
  const { times, lines } = linesOf(data, names, () => "--other");
  return {
    header: [`Time (${zone.value})`, ...lines.map(({ name }) => name)],
    rows: times.map((timeS, index) => [
      formatTime(timeS, zone.value, true),
      ...lines.map(({ values }) => values[index] ?? null),
    ]),
  };
}

function percentileTable(data: Timeseries): PanelTable {
  const { times, lines } = percentileLines(data);
  return {
    header: [`Time (${zone.value})`, ...lines.map(({ name }) => `${name} (µs)`)],
    rows: times.map((timeS, index) => [
      formatTime(timeS, zone.value, true),
      ...lines.map(({ values }) => values[index] ?? null),
    ]),
  };
}

/** Return whether no request is in any group. */
export function isEmpty(data: Timeseries): boolean {
  return Object.values(data.groups).every((points) => points.every((point) => !point[1]));
}

function hasNoPoint(data: Timeseries): boolean {
  return Object.values(data.groups).every((points) =>
    points.every(([, ...values]) => values.every((v) => v === null)),
  );
}
