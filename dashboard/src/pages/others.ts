/** The distribution of all requests but some: what is left where those are taken from the whole. Pure.
 *
 * Rollups know the whole, and nothing knows "all but this consumer": asking for it would read every event.
 */

import type { Latency } from "../api/answers.ts";

/** How many latency buckets of the finest resolution, 18 for each doubling, a histogram draws as one. */
const MERGED = 6;

/** Return the distribution of the requests in `whole` that are not in `part`; both have the finest resolution. */
export function othersOf(whole: Latency, part: Latency): Latency {
  const counts = sums(whole);
  for (const [bucket, requests] of sums(part)) counts.set(bucket, Math.max(0, (counts.get(bucket) ?? 0) - requests));
  const filled = [...counts].filter(([, requests]) => requests > 0).sort(([a], [b]) => a - b);
  const total = filled.reduce((sum, [, requests]) => sum + requests, 0);
  const levels = Object.keys(whole.percentiles);
  return {
    value: whole.value,
    bounds: whole.bounds,
    times: whole.times.slice(0, 1),
    counts: [filled],
    total,
    percentiles: Object.fromEntries(total === 0 ? [] : levels.map((level) => [level, valueAt(level, filled, whole)])),
    // Nothing tells the largest value of the others.
    max: null,
    min: null,
    estimated: true,
  };
}

/** Return the distribution of one range in buckets that are wide enough to draw. */
export function drawable(latency: Latency): Latency {
  const merged = new Map<number, number>();
  for (const [bucket, requests] of sums(latency)) {
    const wide = Math.floor(bucket / MERGED);
    merged.set(wide, (merged.get(wide) ?? 0) + requests);
  }
  const last = latency.bounds.length - 1;
  const bounds = latency.bounds.filter((_, bucket) => bucket % MERGED === 0 || bucket === last);
  return { ...latency, bounds, counts: [[...merged].sort(([a], [b]) => a - b)] };
}

function sums({ counts }: Latency): Map<number, number> {
  const found = new Map<number, number>();
  for (const [bucket, requests] of counts.flat()) found.set(bucket, (found.get(bucket) ?? 0) + requests);
  return found;
}

/** Return the middle of the bucket of a percentile, which is within 2 % of the percentile itself. */
function valueAt(level: string, filled: readonly [number, number][], { bounds, max }: Latency): number {
  const total = filled.reduce((sum, [, requests]) => sum + requests, 0);
  let below = 0;
  for (const [bucket, requests] of filled) {
    below += requests;
    if (below < (Number(level) / 100) * total) continue;
    const lowest = bounds[bucket] ?? 0;
    const highest = (bounds[bucket + 1] ?? lowest + 1) - 1;
    const middle = lowest + highest === 0 ? 0 : (2 * lowest * highest) / (lowest + highest);
    return Math.round(Math.min(middle, max ?? middle));
  }
  return 0;
}
