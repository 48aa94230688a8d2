/** The views of what an alert rule is about: its filters, from before it fired. */

import { onPage, type View } from "../address.ts";
import type { Rule } from "../api/answers.ts";
import { type Filter, parseFilter, type Slowness, slownessWords, withFilter } from "../filters.ts";
import { visibleText } from "../format.ts";
import { isFiring } from "../parts/firing.ts";
import { view } from "../state.ts";
import { FAILED } from "./figures.tsx";

/** How long before an alert its requests begin, at the least. */
const BEFORE_S = 1800;

/** What a rule is about: the members that name its filters. */
export type RuleFilters = Pick<Rule, "include" | "exclude" | "has" | "minResponseUs" | "maxResponseUs">;

/** Return the filters of the page as a rule has them. */
export function filtersOfPage(): RuleFilters {
  const { filters, slowness } = view.value;
  const texts = (kind: Filter["kind"]) =>
    filters.filter((filter) => filter.kind === kind).map(({ field, value }) => `${field}:${value}`);
  const us = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : ms * 1000);
  return {
    include: texts("is"),
    exclude: texts("not"),
    has: texts("has"),
    minResponseUs: us(slowness?.fromMs),
    maxResponseUs: us(slowness?.toMs),
  };
}

/** Return what a rule is about in words; empty: all requests. */
export function filterTexts(rule: RuleFilters): string {
  const slowness = slownessOf(rule);
  const texts = [
    ...rule.include,
    ...rule.exclude.map((text) => `not ${text}`),
    ...rule.has.map((text) => `has ${text}`),
    ...(slowness === null ? [] : [slownessWords(slowness)]),
  ];
  return texts.map((text) => visibleText(text)).join(", ");
}

function slownessOf({ minResponseUs, maxResponseUs }: RuleFilters): Slowness | null {
  if (minResponseUs === null && maxResponseUs === null) return null;
  // The page knows whole milliseconds: none that the rule is about is left out.
  return {
    fromMs: minResponseUs === null ? null : Math.floor(minResponseUs / 1000),
    toMs: maxResponseUs === null ? null : Math.ceil(maxResponseUs / 1000),
  };
}

/** Return the overview of a rule, since 30 minutes before it fired where it fires.
 *
 * @param at when an alert of the rule happened: the view ends then
 */
export function overviewOf(rule: Rule, at: string | null = null): View {
  const filters = [
    ...rule.include.map((text) => parseFilter("is", text)),
    ...rule.exclude.map((text) => parseFilter("not", text)),
    ...rule.has.map((text) => parseFilter("has", text)),
  ].filter((filter) => filter !== null);
  const base = { ...onPage(view.value, "overview"), filters, slowness: slownessOf(rule) };
  const from = at ?? (isFiring(rule) ? rule.state.since : null);
  if (from === null) return base;
  const fromS = Math.floor(Date.parse(from) / 1000);
  const endS = at === null ? Math.floor(Date.now() / 1000) : fromS;
  return { ...base, range: null, span: { startS: fromS - Math.max(BEFORE_S, rule.windowS), endS } };
}

/** Return the list of a rule's requests: where it watches errors, those that failed. */
export function requestsOf(rule: Rule, at: string | null = null): View {
  const overview = overviewOf(rule, at);
  const failed: readonly Filter[] = rule.metric === "error_rate" ? FAILED : [];
  return { ...overview, page: "requests", filters: failed.reduce(withFilter, overview.filters) };
}
