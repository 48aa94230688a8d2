/** Filters of the page: read from and written to the parameters of the address and of the API. Pure. */

import { formatBytes, formatDuration } from "./format.ts";

export const FIELDS = [
  "route",
  "consumer_id",
  "status_code",
  "status_class",
  "method",
  "error_type",
  "function",
  "source",
  "version",
  "url",
  "user_agent",
  "client_ip",
] as const;

/** Fields with numbers, of which `between` takes a span. Response times have `slow`. */
export const MEASURED = ["ttfb_us", "request_bytes", "response_bytes"] as const;

export type Field = (typeof FIELDS)[number] | (typeof MEASURED)[number];

export const FIELD_LABELS: Record<Field, string> = {
  route: "route",
  consumer_id: "consumer",
  status_code: "status",
  status_class: "status class",
  method: "method",
  error_type: "error",
  function: "function",
  source: "source",
  version: "version",
  url: "URL",
  user_agent: "client",
  client_ip: "client IP",
  ttfb_us: "first byte",
  request_bytes: "request bytes",
  response_bytes: "response bytes",
};

/** What an empty value of a field is called. */
export const EMPTY_LABELS: Partial<Record<Field, string>> = {
  consumer_id: "(none)",
  version: "(no version)",
  error_type: "(no error type)",
};

export interface Filter {
  field: Field;
  value: string;
  kind: "is" | "not" | "has" | "between";
}

/** Response times from `fromMs` to `toMs` milliseconds; null: no bound. */
export interface Slowness {
  fromMs: number | null;
  toMs: number | null;
}

/** Fields in which `has` may search for a part of the text. */
export const SEARCHED_FIELDS: readonly Field[] = ["url", "route", "consumer_id", "error_type"];

/** Return the filter of a text `field:value`, or null where it names no field. */
export function parseFilter(kind: Filter["kind"], text: string): Filter | null {
  const colon = text.indexOf(":");
  const name = colon < 0 ? text : text.slice(0, colon);
  const fields: readonly Field[] = kind === "between" ? MEASURED : FIELDS;
  const field = fields.find((known) => known === name);
  if (colon < 0 || field === undefined) return null;
  const value = text.slice(colon + 1);
  if (kind === "has" && (!SEARCHED_FIELDS.includes(field) || value === "")) return null;
  if (kind === "between" && !isSpan(value)) return null;
  if (field === "status_code" && !/^\d{1,5}$|^[1-9]xx$/.test(value)) return null;
  return { field, value, kind };
}

/** Return whether a text is a span of whole numbers, of which one may be left out: `1024..4096`, `1024..`. */
function isSpan(text: string): boolean {
  const [, from = "", to = ""] = /^(\d{0,15})\.\.(\d{0,15})$/.exec(text) ?? [];
  return from + to !== "" && (to === "" || Number(from) <= Number(to));
}

/** Return the slowness of a text such as `250..2000`, `250..` or `..2000`, or null. */
export function parseSlowness(text: string): Slowness | null {
  const match = /^(\d{0,9})\.\.(\d{0,9})$/.exec(text);
  if (match === null || text === "..") return null;
  const [fromMs, toMs] = [bound(match[1]), bound(match[2])];
  if (fromMs !== null && toMs !== null && fromMs >= toMs) return null;
  return { fromMs, toMs };
}

/** Return the text that `parseSlowness` reads. */
export function slownessText({ fromMs, toMs }: Slowness): string {
  return `${fromMs ?? ""}..${toMs ?? ""}`;
}

/** Add the filters to the parameters of a question to the API. */
export function addFilters(query: URLSearchParams, filters: readonly Filter[], slowness: Slowness | null): void {
  const parameters = { is: "include", not: "exclude", has: "has", between: "between" } as const;
  for (const { field, value, kind } of filters) query.append(parameters[kind], `${field}:${value}`);
  if (slowness?.fromMs !== null && slowness?.fromMs !== undefined) {
    query.set("min_response_us", String(slowness.fromMs * 1000));
  }
  if (slowness?.toMs !== null && slowness?.toMs !== undefined) {
    query.set("max_response_us", String(slowness.toMs * 1000));
  }
}

/** Return the filters with one more; the same filter stands once, `is` replaces `not` of the same value, and one span another. */
export function withFilter(filters: readonly Filter[], added: Filter): Filter[] {
  const others = filters.filter(
    ({ field, value }) => field !== added.field || (value !== added.value && added.kind !== "between"),
  );
  return [...others, added];
}

/** Return the words of a filter: `status is not 404`. */
export function filterWords({ field, value, kind }: Filter): { field: string; verb: string; value: string } {
  if (kind === "between") {
    return { field: FIELD_LABELS[field], verb: "is", value: spanWords(value, formatOf(field)) };
  }
  const verb = { is: "is", not: "is not", has: "has" }[kind];
  return { field: FIELD_LABELS[field], verb, value: value === "" ? (EMPTY_LABELS[field] ?? "(empty)") : value };
}

/** Return the words of response times: `response time is 250 ms to 2.00 s`. */
export function slownessWords(slowness: Slowness): string {
  return `response time is ${spanWords(slownessText(slowness), (ms) => formatDuration(1000 * ms))}`;
}

function spanWords(span: string, format: (amount: number) => string): string {
  const [from = "", to = ""] = span.split("..").map((text) => (text === "" ? text : format(Number(text))));
  return to === "" ? `${from} or more` : from === "" ? `up to ${to}` : `${from} to ${to}`;
}

/** Return how values of a field are written: durations, or sizes. */
export function formatOf(field: string): (amount: number | null | undefined) => string {
  return field.endsWith("_bytes") ? formatBytes : formatDuration;
}

function bound(digits: string | undefined): number | null {
  return digits === undefined || digits === "" ? null : Number(digits);
}

/** Return whether only requests that failed pass: filters with values of one field, all of failures. */
export function areFailures(filters: readonly Filter[]): boolean {
  return (["status_code", "status_class", "error_type"] as const).some((field) => {
    const values = filters.filter((filter) => filter.field === field && filter.kind === "is");
    return (
      values.length > 0 && values.every(({ value }) => (field === "error_type" ? value !== "" : /^[4-9]/.test(value)))
    );
  });
}
