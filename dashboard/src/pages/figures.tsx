/** Columns of figures that several tables share. */

import type { ComponentChildren } from "preact";
import { onPage, type View } from "../address.ts";
import type { Breakdown, BreakdownRow } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { type Change, changeInPoints, changeOf } from "../compare.ts";
import { areFailures, type Field, type Filter, withFilter } from "../filters.ts";
import { about, formatBytes, formatCount, formatMs, formatPercent, MISSING, margin } from "../format.ts";
import { Breakable, Link, valueText } from "../parts/Link.tsx";
import type { PanelTable } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { Spark } from "../parts/Spark.tsx";
import type { Column } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { formatErrors, formatRequests } from "../sampling.ts";
import { comparison, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";

/** Return the column of requests, each number a link to them; `by` are the fields of a row's key. */
export function requests(
  by: readonly Field[],
  also: readonly Filter[] = [],
  format = areFailures(also) ? formatErrors : formatRequests,
): Column<BreakdownRow> {
  return {
    title: "Requests",
    sort: "requests",
    isNumber: true,
    cell: (row) => <Link to={requestsBehind(row, by, also)}>{format(row.requests)}</Link>,
  };
}

/** Return the view of the requests behind a row. */
export function requestsBehind(row: BreakdownRow, by: readonly Field[], also: readonly Filter[]): View {
  const own = by.map((field, index): Filter => ({ field, value: row.key[index] ?? "", kind: "is" }));
  return { ...onPage(view.value, "requests"), filters: [...own, ...also].reduce(withFilter, view.value.filters) };
}

/** A time that leads to the requests of a row that took as long, or longer.
 *
 * @param span another span than the page's
 */
export function Milliseconds({ row, by, ms, span }: MillisecondsProps) {
  if (ms === null || ms === undefined) return <>{MISSING}</>;
  const fromMs = Math.floor(ms);
  const most = view.value.slowness?.toMs ?? 0;
  const to = {
    ...requestsBehind(row, by, []),
    slowness: { fromMs, toMs: most > fromMs ? most : null },
    ...(span === undefined ? {} : { range: null, span }),
  };
  return (
    <Link to={to} title="Requests that took as long, or longer">
      {formatMs(ms)}
    </Link>
  );
}

interface MillisecondsProps {
  row: BreakdownRow;
  /** The fields of the row's key. */
  by: readonly Field[];
  ms: number | null | undefined;
  span?: View["span"];
}

/** How many consumers are behind a row, a link to them. */
export function ConsumersLink({ row, by, count }: ConsumersLinkProps) {
  if (!count) return <>{formatCount(count)}</>;
  return <Link to={{ ...requestsBehind(row, by, []), page: "consumers" }}>{formatCount(count)}</Link>;
}

interface ConsumersLinkProps {
  row: BreakdownRow;
  by: readonly Field[];
  count: number | null | undefined;
}

/** A route that leads to its details. */
export function RouteLink({ route, children }: { route: string; children?: ComponentChildren }) {
  return (
    <Link to={onPage(view.value, "routes", { route })}>
      {children}
      <Breakable text={valueText("route", route)} />
    </Link>
  );
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
    comparison.value === "none" ? (
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
        <Beside
          change={changeInPoints(row.errorRate, row.previous?.errorRate, row.previous?.requests ?? 0, "lower")}
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
  isTrend: true,
  cell: (row) => <Spark values={row.series ?? []} label="Requests over the range" />,
};

/** Return the column of a measure in milliseconds, with its change where it is large; `by` are the fields of a row's key. */
export function milliseconds(
  title: string,
  measure: "p50Ms" | "p95Ms" | "p99Ms",
  by: readonly Field[],
  isMinor = false,
): Column<BreakdownRow> {
  return {
    title,
    sort: measure,
    isNumber: true,
    isMinor,
    cell: (row) => (
      <>
        <Milliseconds row={row} by={by} ms={row[measure]} />{" "}
        <Beside
          change={changeOf(row[measure], row.previous?.[measure], row.previous?.requests ?? 0, "lower", formatMs)}
        />
      </>
    ),
  };
}

/** Return the words below a table whose percentiles come from buckets. */
export function percentilesNote(data: Breakdown): string {
  return data.estimated ? `, percentiles${margin(true)}` : "";
}

/** Return the question for how many consumers are `new`, `silent` or `failing`. */
export function restricted(having: string): string | null {
  return question("v1/breakdown", { by: "consumer_id", having, limit: 1 }, { also: NAMED });
}

/** Filters that requests with a consumer pass: those without one are nobody's first or last. */
export const NAMED: readonly Filter[] = [{ field: "consumer_id", value: "", kind: "not" }];

/** Return the parameters of an order such as `-p95Ms`. */
export function order(sort: string): { sort: string; order: string } {
  return { sort: sort.replace(/^-/, ""), order: sort.startsWith("-") ? "desc" : "asc" };
}

/** Return a moment as the tables show it: with its date where that is not today's, and `~` where only its hour is known. */
export function seenText(text: string | null | undefined): string {
  if (text === null || text === undefined) return "–";
  const [timeS, nowS] = [Date.parse(text) / 1000, Date.now() / 1000];
  if (nowS - timeS < 60) return "now";
  const [seen, today] = [formatTime(timeS, zone.value), formatTime(nowS, zone.value).slice(0, 10)];
  if (seen.startsWith(today)) return about(text) + seen.slice(today.length + 1);
  // A phone has no room for the year that everybody knows.
  return about(text) + (isPhone.value && seen.startsWith(today.slice(0, 5)) ? seen.slice(5) : seen);
}

/** Return a moment to come, when something ends; `–`: never. */
export function endText(text: string | null | undefined): string {
  return text === null || text === undefined ? MISSING : formatTime(Date.parse(text) / 1000, zone.value);
}

/** In a table full of figures, only changes that are large stand beside them, and on a phone none. */
function Beside({ change }: { change: Change }) {
  return change.tone === "neutral" || isPhone.value ? null : <ChangeText change={change} />;
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
