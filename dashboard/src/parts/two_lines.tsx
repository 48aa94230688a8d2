/** The one column of a table on a phone: it shows a row in two lines. */

import type { ComponentChildren } from "preact";
import type { Column, Sort } from "./Table.tsx";

interface Lines<Row> {
  title: string;
  first: (row: Row) => ComponentChildren;
  second: (row: Row) => ComponentChildren;
  /** The orders that the header offers. */
  sorts?: readonly Sort[];
  /** Classes of the two lines: with `opens`, a tap anywhere on them presses what the first line begins with. */
  class?: string;
}

/** Return a column that shows a row in two lines. */
export function twoLines<Row>({ title, first, second, sorts = [], class: name = "" }: Lines<Row>): Column<Row> {
  return {
    title,
    sorts,
    cell: (row) => (
      <div class={`two-lines ${name}`}>
        <p>{first(row)}</p>
        <p class="soft">{second(row)}</p>
      </div>
    ),
  };
}
