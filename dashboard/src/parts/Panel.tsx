/** A panel: a titled region that asks one question, keeps its old answer while it asks, and has a table and a CSV. */

import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { missingIn } from "../api/client.ts";
import type { Resource } from "../api/resource.ts";
import { csvOf } from "../csv.ts";
import { formatExact, shardWords } from "../format.ts";
import { isShared } from "../shared.ts";
import { showTables } from "./panel_keys.ts";
import { Boundary, Nothing, Refusal, Slow, Stopped } from "./States.tsx";

/** The figures of a panel as a table: what `Table` shows and `CSV` downloads. */
export interface PanelTable {
  header: readonly string[];
  rows: readonly (readonly (string | number | null)[])[];
}

interface PanelProps<T> {
  title: string;
  resource: Signal<Resource<T>>;
  /** Draws an answer. */
  children: (data: T) => ComponentChildren;
  /** Whether an answer holds nothing to show. */
  isEmpty?: (data: T) => boolean;
  /** Replaces the sentence for an empty answer. */
  empty?: ComponentChildren;
  table?: (data: T) => PanelTable;
  /** Controls beside the title. */
  controls?: ComponentChildren;
  /** The height of the body in pixels until the first answer comes. */
  height?: number;
  class?: string;
  /** Takes a coarser step, where the panel has one. */
  coarsen?: (() => void) | undefined;
  /** Why the panel cannot take a filter of the page; it is dimmed then. */
  cannotFilter?: string | null;
}

/** Show a question and its answer. */
export function Panel<T>(props: PanelProps<T>) {
  const { title, resource, children, table, height = 220 } = props;
  const { data, error, isAsking, isCurrent, isStopped } = resource.value;
  const asTable = useSignal(false);
  const id = useId();
  const element = useRef<HTMLElement>(null);
  useEffect(
    () =>
      showTables(element.current, () => {
        asTable.value = !asTable.value;
      }),
    [],
  );
  // What a link does not show leaves no gap.
  if (isShared.value && data === null && !isAsking && !isStopped && error === null) return null;
  const isBusy = isAsking && !isCurrent;
  const isOld = data !== null && (error !== null || isStopped);
  const missing = shardWords(missingIn(data)).toLowerCase();
  const fileName = missing === "" ? title : `${title} without ${missing}`;
  const body = () => {
    if (data === null) return null;
    if (props.isEmpty?.(data)) return props.empty ?? <Nothing />;
    return asTable.value && table !== undefined ? <PlainTable title={title} table={table(data)} /> : children(data);
  };
  return (
    <section
      ref={element}
      class={`panel ${props.class ?? ""} ${isBusy ? "busy" : ""} ${isOld ? "old" : ""} ${missing === "" ? "" : "partial"} ${props.cannotFilter ? "unfiltered" : ""}`}
      aria-labelledby={id}
      aria-busy={isBusy}
    >
      <header>
        <h2 id={id}>{title}</h2>
        {missing !== "" && <span class="tag">without {missing}</span>}
        {props.controls}
        {table !== undefined && data !== null && (
          <span class="panel-tools">
            <button
              type="button"
              class="quiet"
              aria-pressed={asTable.value}
              onClick={() => {
                asTable.value = !asTable.value;
              }}
            >
              Table
            </button>
            <button type="button" class="quiet" onClick={() => download(fileName, table(data))}>
              CSV
            </button>
          </span>
        )}
      </header>
      <div class="panel-body">
        {props.cannotFilter ? <p class="notice">{props.cannotFilter}</p> : null}
        <Slow resource={resource.value} />
        {isStopped ? (
          <Stopped resource={resource.value} />
        ) : (
          <Refusal resource={resource.value} coarsen={props.coarsen} />
        )}
        {data === null && error === null && !isStopped && <div class="skeleton" style={{ height: `${height}px` }} />}
        <Boundary>{body()}</Boundary>
      </div>
    </section>
  );
}

/** Let the arrow keys scroll a table without links or buttons that is wider than its panel. */
export function Scrolled({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: there is nothing in it that takes the focus
    <section class="scroll" aria-label={title} tabIndex={0}>
      {children}
    </section>
  );
}

/** The most rows of a chart's table in the page. */
const MAX_ROWS = 500;

function PlainTable({ title, table }: { title: string; table: PanelTable }) {
  return (
    <Scrolled title={title}>
      <table class="plain">
        <caption class="hidden">{title}</caption>
        <thead>
          <tr>
            {table.header.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.slice(0, MAX_ROWS).map((row) => (
            <tr key={row[0]}>
              {row.map((value, column) => (
                <td key={table.header[column]} class={typeof value === "number" ? "number" : ""}>
                  {value ?? "–"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {table.rows.length > MAX_ROWS && (
        <p class="soft foot">
          The first {formatExact(MAX_ROWS)} of {formatExact(table.rows.length)} rows; the CSV has all.
        </p>
      )}
    </Scrolled>
  );
}

/** Save a table as a CSV file for spreadsheets. */
export function download(title: string, table: PanelTable): void {
  const blob = new Blob([csvOf(table.header, table.rows)], { type: "text/csv" });
  save(blob, `${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv`);
}

/** Save a file that the page made. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
