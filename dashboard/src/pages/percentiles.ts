/** The percentiles of a distribution, and what they were in the other period. Pure. */

import type { Latency } from "../api/answers.ts";

const LEVELS = ["50", "75", "90", "95", "99"];

export const LONGEST = "max";

/** One row of the table: its values are in the unit of what is measured. */
export interface PercentileRow {
  name: string;
  now: number | null;
  /** null: unknown, or nothing is compared. */
  before: number | null;
}

/** Return the rows of the table of percentiles. */
export function percentilesOf(latency: Pick<Latency, "percentiles" | "max" | "previous">): PercentileRow[] {
  const { percentiles, max, previous } = latency;
  return [
    ...LEVELS.map((level) => ({
      name: `p${level}`,
      now: percentiles[level] ?? null,
      before: previous?.percentiles[level] ?? null,
    })),
    { name: LONGEST, now: max, before: previous?.max ?? null },
  ];
}
