/** Columns of figures that several tables share. */

import { onPage, type View } from "../address.ts";
import type { Breakdown, BreakdownRow, Measure } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { changeInPoints, changeOf } from "../compare.ts";
import { type Field, type Filter, withFilter } from "../filters.ts";
import { formatBytes, formatCount, formatMs, formatPercent } from "../format.ts";
import { Link, valueText } from "../parts/Link.tsx";
import type { PanelTable } from "../parts/Panel.tsx";
import { Spark } from "../parts/Spark.tsx";
import type { Column } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";

/** Return the column of requests, each number a link to them; `by` are the fields of a row's key. */
export function requests(by: readonly Field[], also: readonly Filter[] = []): Column<BreakdownRow> {
  return {
    title: "Requests",
    sort: "requests",
    isNumber: true,
    cell: (row) => <Link to={requestsBehind(row, by, also)}>{formatCount(row.requests)}</Link>,
  };
}

/** Return the view of the requests behind a row. */
export function requestsBehind(row: BreakdownRow, by: readonly Field[], also: readonly Filter[]): View {
  const own = by.map((field, index): Filter => ({ field, value: row.key[index] ?? "", kind: "is" }));
  return { ...onPage(view.value, "requests"), filters: [...own, ...also].reduce(withFilter, view.value.filters) };
}

/** A route that leads to its details. */
export function RouteLink({ route }: { route: string }) {
  return <Link to={onPage(view.value, "routes", { route })}>{valueText("route", route)}</Link>;
}

/** The column of routes, the first member of a row's key. */
export const ROUTE: Column<BreakdownRow> = {
  title: "Route",
  isWide: true,
  cell: (row) => <RouteLink route={row.key[0] ?? ""} />,
};

/** The column of consumers, the first member of a row's key. */
export const CONSUMER: Column<BreakdownRow> = {
  title: "Consumer",
  isWide: true,
  cell: (row) => (
    <Link to={onPage(view.value, "consumers", { consumer: row.key[0] ?? "" })}>
      {valueText("consumer_id", row.key[0] ?? "")}
    </Link>
  ),
};

export const CHANGE: Column<BreakdownRow> = {
  title: "Change",
  sort: "change:requests",
  isNumber: true,
  isMinor: true,
  cell: (row) =>
    view.value.compare === "none" ? (
      "–"
    ) : (
      <ChangeText change={changeOf(row.requests, row.previous?.requests ?? 0, row.previous?.requests ?? 0, "none")} />
    ),
};

/** Filters that requests with an error pass. */
export const FAILED: readonly Filter[] = [
  { field: "status_class", value: "4xx", kind: "is" },
  { field: "status_class", value: "5xx", kind: "is" },
];

/** Return the column of the error rate, each number a link to the requests that failed. */
export function errorRate(by: readonly Field[], also: readonly Filter[] = []): Column<BreakdownRow> {
  return {
    title: "Err %",
    sort: "errorRate",
    isNumber: true,
    cell: (row) => (
      <>
        <Link to={requestsBehind(row, by, [...also, ...FAILED])}>{formatPercent(row.errorRate)}</Link>{" "}
        <ChangeText
          change={quiet(changeInPoints(row.errorRate, row.previous?.errorRate, row.previous?.requests ?? 0, "lower"))}
        />
      </>
    ),
  };
}

export const LAST_SEEN: Column<BreakdownRow> = {
  title: "Last seen",
  sort: "lastSeen",
  isMinor: true,
  isShort: true,
  cell: (row) => seenText(row.lastSeen),
};

export const FIRST_SEEN: Column<BreakdownRow> = {
  title: "First seen",
  sort: "firstSeen",
  isMinor: true,
  isShort: true,
  cell: (row) => seenText(row.firstSeen),
};

export const BYTES: Column<BreakdownRow> = {
  title: "Bytes",
  sort: "bytes",
  isNumber: true,
  isMinor: true,
  cell: (row) => formatBytes(row.bytes),
};

export const CONSUMERS: Column<BreakdownRow> = {
  title: "Consumers",
  isNumber: true,
  isMinor: true,
  cell: (row) => formatCount(row.consumers),
};

export const TIME_SHARE: Column<BreakdownRow> = {
  title: "Time spent",
  sort: "timeShare",
  isNumber: true,
  isMinor: true,
  cell: (row) => (
    <span class="meter" title="Requests times their mean time, of all time spent">
      <i style={{ width: `${Math.round(row.timeShare ?? 0) / 2}px` }} />
      {formatPercent(row.timeShare)}
    </span>
  ),
};

export const TREND: Column<BreakdownRow> = {
  title: "Trend",
  isMinor: true,
  cell: (row) => <Spark values={row.series ?? []} label="Requests over the range" />,
};

/** Return the column of a measure in milliseconds, with its change where it is large. */
export function milliseconds(title: string, measure: Measure, isMinor = false): Column<BreakdownRow> {
  return {
    title,
    sort: measure,
    isNumber: true,
    isMinor,
    cell: (row) => (
      <>
        {formatMs(row[measure])}{" "}
        <ChangeText
          change={quiet(
            changeOf(row[measure], row.previous?.[measure], row.previous?.requests ?? 0, "lower", formatMs),
          )}
        />
      </>
    ),
  };
}

/** Return the question for how many consumers are `new`, `silent` or `failing`. */
export function restricted(having: string): string | null {
  return question("v1/breakdown", { by: "consumer_id", having, limit: 1 });
}

/** Return the parameters of an order such as `-p95Ms`. */
export function order(sort: string): { sort: string; order: string } {
  return { sort: sort.replace(/^-/, ""), order: sort.startsWith("-") ? "desc" : "asc" };
}

/** Return a moment as the tables show it: with its date where that is not today's. */
export function seenText(text: string | null | undefined): string {
  if (text === null || text === undefined) return "–";
  const [timeS, nowS] = [Date.parse(text) / 1000, Date.now() / 1000];
  if (nowS - timeS < 60) return "now";
  const [seen, today] = [formatTime(timeS, zone.value), formatTime(nowS, zone.value).slice(0, 10)];
  return seen.startsWith(today) ? seen.slice(today.length + 1) : seen;
}

/** In a table full of figures, only changes that are large stand beside them. */
function quiet<T extends { tone: string; text: string }>(change: T): T {
  return change.tone === "neutral" ? { ...change, text: "" } : change;
}

/** Return the rows of a breakdown as a table for CSV. */
export function breakdownTable(data: Breakdown): PanelTable {
  const first = data.rows[0];
  const measures = Object.keys(first ?? {}).filter((name) => !["key", "previous", "series"].includes(name));
  return {
    header: [...data.by, ...measures],
    rows: data.rows.map((row) => [
      ...row.key,
      ...measures.map((name) => {
        const value: unknown = Object.entries(row).find(([key]) => key === name)?.[1];
        return typeof value === "number" || typeof value === "string" ? value : null;
      }),
    ]),
  };
}

/** Return a column that does not sort. */
export function withoutSort<T extends { sort?: string }>(column: T): Omit<T, "sort"> {
  const { sort: _, ...rest } = column;
  return rest;
}
