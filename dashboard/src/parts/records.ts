/** Records of an answer as the table that `CSV` downloads. Pure. */

import type { PanelTable } from "./Panel.tsx";

/** Return the named members of records: numbers and texts as they are, other values as JSON. */
export function recordTable<Row extends object>(
  rows: readonly Row[],
  names: readonly (keyof Row & string)[],
): PanelTable {
  return { header: names, rows: rows.map((row) => names.map((name) => cellOf(row[name]))) };
}

function cellOf(value: unknown): string | number | null {
  if (typeof value === "string" || typeof value === "number" || value === null) return value;
  return value === undefined ? null : JSON.stringify(value);
}
