/** What a change is made of, as links and words. Pure. */

import type { Cause } from "../api/answers.ts";
import { EMPTY_LABELS, FIELD_LABELS, FIELDS, type Field, type Filter, withFilter } from "../filters.ts";
import { formatCount, formatMs, formatPercent, visibleText } from "../format.ts";

export const METRICS = ["errors", "requests", "errorRate", "meanMs"] as const;

export type Metric = (typeof METRICS)[number];

export const METRIC_LABELS: Record<Metric, string> = {
  errors: "Errors",
  requests: "Requests",
  errorRate: "Error rate",
  meanMs: "Mean time",
};

type Count = (value: number | null) => string;

/** Return the figure of a metric as text, its counts by `counts`. */
export function formatMetric(
  metric: Metric,
  value: number | null,
  counts: { errors: Count; requests: Count } = { errors: formatCount, requests: formatCount },
): string {
  if (metric === "errorRate") return formatPercent(value);
  return metric === "meanMs" ? formatMs(value) : counts[metric](value);
}

/** Return the fields and values of a slice. */
export function sliceOf(cause: Cause): { field: Field; value: string }[] {
  return FIELDS.flatMap((field) => {
    const value = cause.slice[field];
    return value === undefined ? [] : [{ field, value }];
  });
}

/** Return a slice in words: "route /v1/checkout, status 502". */
export function sliceText(cause: Cause): string {
  return sliceOf(cause)
    .map(({ field, value }) =>
      value === "" && EMPTY_LABELS[field] !== undefined
        ? EMPTY_LABELS[field]
        : `${FIELD_LABELS[field]} ${visibleText(value, 60)}`,
    )
    .join(", ");
}

/** Return the filters that show the requests of a cause: where errors changed, those that failed. */
export function requestsOf(filters: readonly Filter[], cause: Cause, metric: Metric): Filter[] {
  let result = [...filters];
  for (const { field, value } of sliceOf(cause)) result = withFilter(result, { field, value, kind: "is" });
  const isAboutErrors = metric === "errors" || metric === "errorRate";
  if (isAboutErrors && cause.slice.status_code === undefined) {
    for (const value of ["4xx", "5xx"]) result = withFilter(result, { field: "status_class", value, kind: "is" });
  }
  return result;
}
