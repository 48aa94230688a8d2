/** Which routes need attention, and why: their part of what grew in errors and in time spent. Pure. */

import type { Breakdown, BreakdownRow } from "../api/answers.ts";
import { type Change, changeOf } from "../compare.ts";
import { formatMs } from "../format.ts";

export interface Attention {
  row: BreakdownRow;
  reason: Change;
}

/** Return the rows in the order of their need: share of all errors, and of all time, above the period before. */
export function attentionRows({ rows }: Breakdown): Attention[] {
  const errors = sumOf(rows, (row) => row.errors);
  const errorsBefore = sumOf(rows, (row) => row.previous?.errors);
  return rows
    .map((row) => {
      const moreErrors = share(row.errors, errors) - share(row.previous?.errors, errorsBefore);
      const moreTime = ((row.timeShare ?? 0) - (row.previous?.timeShare ?? row.timeShare ?? 0)) / 100;
      return { row, reason: reasonOf(row), need: Math.max(moreErrors, 0) + Math.max(moreTime, 0) };
    })
    .sort((a, b) => b.need - a.need || (b.row.requests ?? 0) - (a.row.requests ?? 0));
}

/** A route without a period before fails often from so many errors, and such a part of its requests, on. */
const MANY_ERRORS = 10;
const MANY_PERCENT = 5;

/** Return the route that became worst, or without a period before, one that fails often; undefined: none stands out. */
export function worstOf(data: Breakdown): Attention | undefined {
  const rows = attentionRows(data);
  return (
    rows.find(({ reason }) => reason.tone === "bad") ??
    rows.find(
      ({ row }) =>
        !row.previous?.requests && (row.errors ?? 0) >= MANY_ERRORS && (row.errorRate ?? 0) >= MANY_PERCENT,
    )
  );
}

function reasonOf(row: BreakdownRow): Change {
  const before = row.previous?.requests ?? 0;
  const errors = changeOf(row.errors, row.previous?.errors, before, "lower");
  const p95 = changeOf(row.p95Ms, row.previous?.p95Ms, before, "lower", formatMs);
  if (errors.tone === "bad") {
    return { ...errors, text: row.previous?.errors === 0 ? "new errors" : `errors ${errors.text}` };
  }
  if (p95.tone === "bad") return { ...p95, text: `p95 ${p95.text}` };
  return { text: "", tone: "neutral", direction: null };
}

function share(part: number | null | undefined, whole: number): number {
  return whole === 0 ? 0 : (part ?? 0) / whole;
}

function sumOf(rows: readonly BreakdownRow[], value: (row: BreakdownRow) => number | null | undefined): number {
  return rows.reduce((sum, row) => sum + (value(row) ?? 0), 0);
}
