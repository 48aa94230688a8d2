/** Routes without requests in the range that had some before. Pure. */

import type { BreakdownRow } from "../api/answers.ts";

/** Return the rows of `before` whose route is none of `routes`, the most requested first. */
export function unusedRoutes(before: readonly BreakdownRow[], routes: ReadonlySet<string>): BreakdownRow[] {
  return before.filter(({ key }) => !routes.has(key[0] ?? "")).sort((a, b) => (b.requests ?? 0) - (a.requests ?? 0));
}
