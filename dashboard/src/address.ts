/** The view that an address names: page, range, filters and a page's own choices. Pure. */

import { type Filter, parseFilter, parseSlowness, type Slowness, slownessText } from "./filters.ts";
import { DEFAULT_RANGE, rangeNamed } from "./ranges.ts";

export const PAGES = [
  "overview",
  "routes",
  "consumers",
  "errors",
  "latency",
  "requests",
  "alerts",
  "quality",
  "settings",
] as const;

export type Page = (typeof PAGES)[number];

export const COMPARISONS = ["previous", "week", "none"] as const;

export type Comparison = (typeof COMPARISONS)[number];

export interface View {
  page: Page;
  application: string | null;
  /** A named range; null where `span` is set. */
  range: string | null;
  /** A picked span in whole seconds, `[startS, endS)`. */
  span: { startS: number; endS: number } | null;
  compare: Comparison;
  filters: readonly Filter[];
  slowness: Slowness | null;
  /** An IANA name; null: the zone that this browser keeps. */
  zone: string | null;
  /** A measure, after a minus for descending. */
  sort: string | null;
  /** The text that the page's table is searched for. */
  search: string | null;
  /** Whether answers may leave out the events of shards that do not answer. */
  isPartial: boolean;
  /** Choices of one page, by parameter. */
  own: Readonly<Record<string, string>>;
}

/** The parameters that a page has for itself. */
export const OWN_PARAMETERS: Record<Page, readonly string[]> = {
  overview: ["explain"],
  routes: ["route", "show", "columns", "from"],
  consumers: ["consumer", "tab", "from"],
  errors: ["class", "kind"],
  latency: ["value", "before"],
  requests: ["event", "live", "columns"],
  alerts: ["tab", "rule"],
  quality: [],
  settings: ["tab"],
};

/** Where nothing else is said, a range up to a day is compared with the week before, a longer one with the period. */
export function defaultComparison(range: string | null): Comparison {
  const lengthS = range === null ? null : (rangeNamed(range)?.lengthS ?? null);
  return lengthS !== null && lengthS <= 86_400 ? "week" : "previous";
}

/** Return the view of an address, and the parts that cannot be read: the view is then shown without them.
 *
 * @param path the path below the root of the dashboard, without its first slash
 */
export function parseAddress(path: string, query: URLSearchParams): { view: View; bad: string[] } {
  const bad: string[] = [];
  const name = path === "" ? "overview" : path;
  const page = PAGES.find((known) => known === name) ?? "overview";
  const { range, span } = parseTime(query, bad);
  const comparison = COMPARISONS.find((known) => known === query.get("vs"));
  if (query.has("vs") && comparison === undefined) bad.push(`vs=${query.get("vs")}`);
  const slowText = query.get("slow");
  const slowness = slowText === null ? null : parseSlowness(slowText);
  if (slowText !== null && slowness === null) bad.push(`slow=${slowText}`);
  const zone = query.get("tz");
  const isZone = zone === null || isTimeZone(zone);
  if (!isZone) bad.push(`tz=${zone}`);
  const partial = query.get("partial");
  if (partial !== null && partial !== "1") bad.push(`partial=${partial}`);
  const own: Record<string, string> = {};
  for (const parameter of OWN_PARAMETERS[page]) {
    const value = query.get(parameter);
    if (value !== null) own[parameter] = value;
  }
  return {
    view: {
      page,
      application: query.get("app"),
      range,
      span,
      compare: comparison ?? defaultComparison(range),
      filters: parseFilters(query, bad),
      slowness,
      zone: isZone ? zone : null,
      sort: query.get("sort"),
      search: query.get("q"),
      isPartial: partial === "1",
      own,
    },
    bad,
  };
}

/** Return the path and query that `parseAddress` reads; defaults are left out. */
export function addressOf(view: View): string {
  const query = new URLSearchParams();
  if (view.application !== null) query.set("app", view.application);
  if (view.span !== null) {
    query.set("start", String(view.span.startS));
    query.set("end", String(view.span.endS));
  } else if (view.range !== null && view.range !== DEFAULT_RANGE) query.set("range", view.range);
  if (view.compare !== defaultComparison(view.range)) query.set("vs", view.compare);
  for (const { kind, field, value } of view.filters) query.append(kind, `${field}:${value}`);
  if (view.slowness !== null) query.set("slow", slownessText(view.slowness));
  if (view.zone !== null) query.set("tz", view.zone);
  if (view.sort !== null) query.set("sort", view.sort);
  if (view.search !== null && view.search !== "") query.set("q", view.search);
  if (view.isPartial) query.set("partial", "1");
  for (const parameter of OWN_PARAMETERS[view.page]) {
    const value = view.own[parameter];
    if (value !== undefined) query.set(parameter, value);
  }
  const path = view.page === "overview" ? "" : view.page;
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Return the same view on another page: what belongs to the old page alone is left behind. */
export function onPage(view: View, page: Page, own: Record<string, string> = {}): View {
  return { ...view, page, own, sort: null, search: null };
}

function parseTime(query: URLSearchParams, bad: string[]): Pick<View, "range" | "span"> {
  const [start, end] = [query.get("start"), query.get("end")];
  if (start !== null || end !== null) {
    const [startS, endS] = [Number(start), Number(end)];
    const isWhole = /^\d{1,10}$/.test(start ?? "") && /^\d{1,10}$/.test(end ?? "");
    if (isWhole && startS < endS) return { range: null, span: { startS, endS } };
    bad.push(`start=${start ?? ""}, end=${end ?? ""}`);
  }
  const name = query.get("range");
  if (name !== null && rangeNamed(name) === undefined) {
    bad.push(`range=${name}`);
    return { range: DEFAULT_RANGE, span: null };
  }
  return { range: name ?? DEFAULT_RANGE, span: null };
}

function parseFilters(query: URLSearchParams, bad: string[]): Filter[] {
  const filters: Filter[] = [];
  for (const kind of ["is", "not", "has", "between"] as const) {
    for (const text of query.getAll(kind)) {
      const filter = parseFilter(kind, text);
      if (filter === null) bad.push(`${kind}=${text}`);
      else filters.push(filter);
    }
  }
  return filters;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
