/** Active consumers of each bucket of time, the new ones apart. Pure. */

import type { TimePoint } from "../api/answers.ts";

/** Return the consumers of each bucket: those first seen in it, and the others.
 *
 * @param active the distinct consumers of each bucket, ascending
 * @param firstSeenS when each new consumer was first seen, exact to the hour
 */
export function newAndReturning(
  active: readonly TimePoint[],
  firstSeenS: readonly number[],
): { times: number[]; fresh: number[]; returning: number[] } {
  const times = active.map(([timeS]) => timeS);
  const fresh = times.map(() => 0);
  for (const seenS of firstSeenS) {
    // The hour of the first request may begin before the range does.
    const index = Math.max(
      0,
      times.findLastIndex((timeS) => timeS <= seenS),
    );
    if (index < fresh.length) fresh[index] = (fresh[index] ?? 0) + 1;
  }
  const returning = active.map(([, count], index) => Math.max(0, (count ?? 0) - (fresh[index] ?? 0)));
  return { times, fresh, returning };
}
