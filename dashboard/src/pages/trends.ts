/** The small lines of tiles: a figure in each finished bucket of time. Pure. */

import type { Timeseries } from "../api/answers.ts";
import { align, total } from "../buckets.ts";

/** Return the requests of each bucket, and the percent of them that failed. */
export function requestTrends(data: Timeseries, isUnfinished: boolean): { requests: number[]; errorRates: number[] } {
  const groups = Object.entries(data.groups).map(([name, points]): [string, [number, number | null][]] => [
    name,
    points.map(([timeS, value]) => [timeS, value ?? null]),
  ]);
  const { times, series } = align(Object.fromEntries(groups), 0);
  const whole = isUnfinished ? times.slice(0, -1) : times;
  const requests = whole.map((_, index) => total(series.map(({ values }) => values[index] ?? 0)));
  const failed = series.filter(({ name }) => name === "4xx" || name === "5xx");
  const errorRates = requests.map((all, index) =>
    all === 0 ? 0 : (100 * total(failed.map(({ values }) => values[index] ?? 0))) / all,
  );
  return { requests, errorRates };
}

/** Return the value at one place of the points of the first group; 0 where it is unknown. */
export function trendOf(data: Timeseries, place: number, isUnfinished: boolean): number[] {
  const points = Object.values(data.groups)[0] ?? [];
  return (isUnfinished ? points.slice(0, -1) : points).map((point) => Number(point[place] ?? 0));
}

/** Return at most `most` values: neighbours give way to the largest of them, so that a peak stays a peak. */
export function thinned(values: readonly number[], most: number): number[] {
  const each = Math.max(1, Math.ceil(values.length / most));
  const parts = Math.ceil(values.length / each);
  return Array.from({ length: parts }, (_, part) => Math.max(...values.slice(part * each, (part + 1) * each)));
}

/** Return all requests of an answer, and the percent of them that failed. */
export function requestTotals(data: Timeseries): { requests: number; errorRate: number } {
  const { requests, errorRates } = requestTrends(data, false);
  const all = total(requests);
  const failed = total(requests.map((count, index) => (count * (errorRates[index] ?? 0)) / 100));
  return { requests: all, errorRate: all === 0 ? 0 : (100 * failed) / all };
}
