/** What a panel says whose figures cannot be narrowed by the filters of the page. */

import { FIELD_LABELS } from "../filters.ts";
import { view } from "../state.ts";

/** Return `Not by route: rules are of the whole application`, or null where the page has no filter. */
export function notFiltered(why: string): string | null {
  const { filters, slowness } = view.value;
  const names = new Set(filters.map(({ field }) => FIELD_LABELS[field]));
  if (slowness !== null) names.add("response time");
  return names.size === 0 ? null : `Not by ${[...names].join(", ")}: ${why}.`;
}
