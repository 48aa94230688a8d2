/** The pages of a table that has more rows than one page shows. */

import type { Breakdown } from "../api/answers.ts";
import { formatExact } from "../format.ts";
import { showWith, view } from "../state.ts";

/** How many rows a page has. */
export const PAGE_ROWS = 100;

/** Return the place of the first row in the question for a page of a table. */
export function firstRow(): number {
  return Number(view.value.own.from ?? 0) || 0;
}

/** Say which rows are shown, and lead to those before and after. */
export function Pages({ pagination, rows }: Breakdown) {
  const { offset, limit, hasMore } = pagination;
  if (offset === 0 && !hasMore) return null;
  const turn = (from: number) => showWith({ own: { ...view.value.own, from: String(Math.max(0, from)) } });
  return (
    <>
      {formatExact(offset + 1)} to {formatExact(offset + rows.length)}
      <button type="button" disabled={offset === 0} onClick={() => turn(offset - limit)}>
        Previous
      </button>
      <button type="button" disabled={!hasMore} onClick={() => turn(offset + limit)}>
        Next
      </button>
    </>
  );
}
