/** A table of figures: sorted by its headers, walked with j and k, 100 rows until more are asked for. */

import { useSignal } from "@preact/signals";
import { type ComponentChildren, Fragment } from "preact";
import type { View } from "../address.ts";
import { formatExact } from "../format.ts";
import { show, showWith, view } from "../state.ts";

/** An order that a header offers, by the name that it has in the address. */
export interface Sort {
  sort?: string;
  title: string;
}

export interface Column<Row> extends Sort {
  /** The orders of a column that shows several figures. */
  sorts?: readonly Sort[];
  isNumber?: boolean;
  cell: (row: Row) => ComponentChildren;
  /** Hidden on a phone. */
  isMinor?: boolean;
  /** Hidden where the table is narrow. */
  isTrend?: boolean;
  /** Whether it keeps room for a route where the table is wider than the screen. */
  isWide?: boolean;
  /** Whether its words are not broken. */
  isShort?: boolean;
}

interface TableProps<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  /** The order where the address names none, such as `-requests`. */
  defaultSort?: string;
  /** The view that a row opens. */
  open?: (row: Row) => View;
  /** Called where a row is opened and `open` is absent. */
  onOpen?: (row: Row) => void;
  isOpen?: (row: Row) => boolean;
  /** What is shown below an open row. */
  detail?: (row: Row) => ComponentChildren;
  /** The most rows at first; 100 unless told otherwise. */
  maxRows?: number;
  /** Whether a phone shows each row as a card, with every column. */
  isCards?: boolean;
  /** What `x` does: exclude the row's value. */
  exclude?: (row: Row) => void;
}

const MAX_ROWS = 100;

/** Show rows. */
export function Table<Row>(props: TableProps<Row>) {
  const { caption, columns, rows, keyOf } = props;
  const most = useSignal(props.maxRows ?? MAX_ROWS);
  const hidden = rows.length - most.value;
  const sort = view.value.sort ?? props.defaultSort ?? "";
  const open = (row: Row) => {
    if (props.open !== undefined) show(props.open(row));
    else props.onOpen?.(row);
  };
  const opens = props.open !== undefined || props.onOpen !== undefined;
  const onClick = (event: MouseEvent, row: Row) => {
    // What has a click of its own keeps it, and a text that is being selected stays selected.
    const isElsewhere = event.target instanceof Element && event.target.closest("a, button, input, select") !== null;
    if (opens && !isElsewhere && String(getSelection()) === "") open(row);
  };
  const onKeyDown = (event: KeyboardEvent, row: Row) => {
    if (event.key === "Enter" && event.target === event.currentTarget) open(row);
    else if (event.key === "x" && props.exclude !== undefined) props.exclude(row);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="scroll">
      <table class={`rows ${props.isCards ? "as-cards" : ""}`}>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.title}
                scope="col"
                class={`${column.isNumber ? "number" : ""} ${column.isMinor ? "minor" : ""} ${column.isTrend ? "trend" : ""} ${column.sorts === undefined ? "" : "several"}`}
                {...ariaSort(column, sort)}
              >
                {column.title === "" && <span class="hidden">Actions</span>}
                {column.sort === undefined ? column.title : <SortButton by={column} now={sort} />}
                {column.sorts?.map((by) => (
                  <SortButton key={by.title} by={by} now={sort} />
                ))}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, most.value).map((row) => (
            <Fragment key={keyOf(row)}>
              <tr
                tabIndex={-1}
                data-row
                class={`${props.isOpen?.(row) ? "open" : ""} ${opens ? "clickable" : ""}`}
                onClick={(event) => onClick(event, row)}
                onKeyDown={(event) => onKeyDown(event, row)}
              >
                {columns.map((column) => (
                  <td
                    key={column.title}
                    data-title={column.title}
                    class={`${column.isNumber ? "number" : ""} ${column.isMinor ? "minor" : ""} ${column.isTrend ? "trend" : ""} ${column.isShort ? "short" : ""} ${column.isWide ? "wide" : ""}`}
                  >
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
              {props.isOpen?.(row) && props.detail !== undefined && (
                <tr class="detail">
                  <td colSpan={columns.length}>{props.detail(row)}</td>
                </tr>
              )}
            </Fragment>
          ))}
        </tbody>
      </table>
      {hidden > 0 && (
        <p class="foot">
          <button
            type="button"
            onClick={() => {
              most.value += MAX_ROWS;
            }}
          >
            {formatExact(Math.min(hidden, MAX_ROWS))} more of {formatExact(rows.length)}
          </button>
        </p>
      )}
    </div>
  );
}

function SortButton({ by, now }: { by: Sort; now: string }) {
  const { sort = "", title } = by;
  return (
    <button type="button" class="sort" onClick={() => showWith({ sort: nextSort(sort, now) })}>
      {title}
      <span aria-hidden="true">{arrow(sort, now)}</span>
    </button>
  );
}

function ariaSort(column: Column<never>, sort: string): { "aria-sort"?: "ascending" | "descending" } {
  if (![column, ...(column.sorts ?? [])].some((by) => by.sort === sort.replace(/^-/, ""))) return {};
  return { "aria-sort": sort.startsWith("-") ? "descending" : "ascending" };
}

function arrow(column: string, sort: string): string {
  if (sort.replace(/^-/, "") !== column) return "";
  return sort.startsWith("-") ? " ↓" : " ↑";
}

/** A first click sorts the largest first, a second one the smallest. */
function nextSort(column: string, sort: string): string {
  return sort === `-${column}` ? column : `-${column}`;
}
