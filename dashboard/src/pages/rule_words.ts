/** What a rule watches, measured and told, in words. Pure. */

import type { Rule, TestedRule } from "../api/answers.ts";
import { formatExact, MISSING } from "../format.ts";

export const METRICS: Record<string, { words: string; unit: string }> = {
  error_rate: { words: "error rate", unit: "%" },
  latency_mean: { words: "mean latency", unit: "ms" },
  latency_percentile: { words: "latency percentile", unit: "ms" },
  request_count: { words: "requests", unit: "" },
  limit_utilization: { words: "use of limits", unit: "%" },
  no_data: { words: "no request", unit: "" },
};

export const WINDOWS_S: [number, string][] = [
  [60, "1 min"],
  [300, "5 min"],
  [900, "15 min"],
  [3600, "1 h"],
  [86_400, "1 day"],
];

/** Return what a rule watches, in words. */
export function thresholdWords(rule: Rule): string {
  const metric = METRICS[rule.metric] ?? { words: rule.metric, unit: "" };
  const name = rule.percentile === null ? metric.words : `p${rule.percentile}`;
  if (rule.threshold === null) return `no request in ${windowWords(rule.windowS)}`;
  return `${name} ${rule.direction === "below" ? "<" : ">"} ${rule.threshold} ${metric.unit} over ${windowWords(rule.windowS)}`;
}

/** Return what a rule that fires measured, against its threshold: `error rate 29 % > 5 %`. */
export function valueWords(rule: Rule): string {
  if (rule.threshold === null) return thresholdWords(rule);
  // Too few requests prove nothing: the rule goes on to fire.
  if (rule.state.lastValue === null) return `${thresholdWords(rule)}; too few requests now`;
  const metric = METRICS[rule.metric] ?? { words: rule.metric, unit: "" };
  const name = rule.percentile === null ? metric.words : `p${rule.percentile}`;
  const sign = rule.direction === "below" ? "<" : ">";
  return `${name} ${measured(rule)} ${sign} ${rule.threshold} ${metric.unit}`;
}

/** Return what a rule measured last, with its unit. */
export function measured(rule: Rule): string {
  return withUnit(rule.metric, rule.state.lastValue);
}

/** Return a value of a metric with its unit; of another metric, the bare value. */
export function withUnit(metric: string, value: number | null): string {
  if (value === null) return MISSING;
  const { unit } = METRICS[metric] ?? { unit: " " };
  return unit === "" ? formatExact(value) : `${Math.round(value * 10) / 10} ${unit}`;
}

/** Return what became of a test of a rule's webhook. */
export function testWords(answer: Partial<TestedRule>): string {
  return answer.delivered ? `The test arrived (${answer.status}).` : `The test failed: ${answer.error}`;
}

/** Return the length of a window. */
export function windowWords(windowS: number): string {
  return WINDOWS_S.find(([seconds]) => seconds === windowS)?.[1] ?? `${Math.round(windowS / 60)} min`;
}
