/** Addresses of questions about the frame of the page: range, filters, comparison and application. Pure but for state. */

import { addFilters, type Filter, type Slowness } from "../filters.ts";
import type { Step } from "../ranges.ts";
import { binding, mayAsk } from "../shared.ts";
import { application, comparison, frame, me, view, zone } from "../state.ts";

/** The questions that the service answers also without the shards that do not answer. */
const TAKES_PARTIAL = /^(1\/timeseries|v1\/(summary|breakdown|latency|explain|quality|events))$/;

type Parameters = Readonly<Record<string, string | number | readonly string[]>>;

export interface QuestionOptions {
  /** Filters beside those of the page. */
  also?: readonly Filter[];
  /** Whether to compare, as the view says. */
  compares?: boolean;
  /** Another span than the page's. */
  span?: { startS: number; endS: number };
  /** Without the page's filters. */
  isUnfiltered?: boolean;
}

/** Return the address of a `/v1/…` endpoint that takes start, end and filters; null before somebody signed in. */
export function question(path: string, parameters: Parameters = {}, options: QuestionOptions = {}): string | null {
  if (application.value === null || !mayAsk(path, fieldsIn(parameters, options))) return null;
  const query = new URLSearchParams();
  const { startS, endS } = options.span ?? frame.value;
  query.set("start", String(startS));
  query.set("end", String(endS));
  addCommon(query, path, parameters, options);
  return `${path}?${query}`;
}

/** Return the address of a timeseries. */
export function timeseries(parameters: Parameters, options: QuestionOptions = {}): string | null {
  if (application.value === null || !mayAsk("1/timeseries", fieldsIn(parameters, options))) return null;
  const { startS, endS } = options.span ?? frame.value;
  const query = new URLSearchParams();
  addCommon(query, "1/timeseries", parameters, options);
  return `1/timeseries/${startS}/${endS}/?${query}`;
}

/** Return the fields of events that a question names: to group by, to show, or to filter. */
function fieldsIn(parameters: Parameters, { also = [], isUnfiltered = false }: QuestionOptions): string[] {
  const texts = ["by", "group", "field"].flatMap((name) => parameters[name] ?? []);
  const filters = [...(isUnfiltered ? [] : view.value.filters), ...also];
  return [...texts.flatMap((text) => String(text).split(",")), ...filters.map(({ field }) => field)];
}

/** Return the parameters of a granularity: a step of the calendar is cut in the page's zone. */
export function granularity(step: Step): Record<string, string> {
  return typeof step === "number" ? { granularity: String(step) } : { granularity: step, tz: zone.value };
}

/** Add `application`, which only a key of an organization needs. */
export function addApplication(query: URLSearchParams): void {
  if (me.value?.kind === "admin" && application.value !== null) query.set("application", application.value.id);
}

function addCommon(query: URLSearchParams, path: string, parameters: Parameters, options: QuestionOptions): void {
  addApplication(query);
  if (view.value.isPartial && TAKES_PARTIAL.test(path)) query.set("partial", "1");
  for (const [name, value] of Object.entries(parameters)) {
    if (typeof value === "string" || typeof value === "number") query.set(name, String(value));
    else for (const member of value) query.append(name, member);
  }
  if (options.compares && comparesNow()) query.set("compare", comparison.value);
  const own: readonly Filter[] = options.isUnfiltered ? [] : view.value.filters;
  const slowness: Slowness | null = options.isUnfiltered ? null : view.value.slowness;
  addFilters(query, [...own, ...(options.also ?? [])], slowness);
}

/** Whether another period is shown. */
export function comparesNow(): boolean {
  return otherSpan() !== null;
}

/** Return the other period, or null where none is shown. */
export function otherSpan(): { startS: number; endS: number } | null {
  const { startS, endS } = frame.value;
  if (comparison.value === "none") return null;
  const earlierS = comparison.value === "week" ? 604_800 : endS - startS;
  if (startS - earlierS < (binding.value?.notBefore ?? 0)) return null;
  return { startS: startS - earlierS, endS: endS - earlierS };
}
