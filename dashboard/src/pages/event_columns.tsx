/** The columns of single requests: those that are chosen, or two lines on a phone. */

import type { StoredEvent } from "../api/answers.ts";
import { formatBytes, formatDuration, visibleText } from "../format.ts";
import { chosenOf } from "../parts/column_choice.ts";
import { Value, valueText } from "../parts/Link.tsx";
import type { PanelTable } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { recordTable } from "../parts/records.ts";
import type { Column } from "../parts/Table.tsx";
import { twoLines } from "../parts/two_lines.tsx";
import { zone } from "../state.ts";
import { formatTime } from "../zones.ts";

/** Every column, by the name that it has in the address. */
const COLUMNS: Readonly<Record<string, Column<StoredEvent>>> = {
  time: { title: "Time", cell: (event) => <time>{eventTime(event.timestamp)}</time> },
  status: { title: "Status", cell: (event) => <Status event={event} /> },
  method: { title: "Method", isShort: true, cell: (event) => event.method },
  route: { title: "Route", isWide: true, cell: (event) => <Route event={event} /> },
  duration: { title: "Duration", isNumber: true, cell: (event) => formatDuration(event.response_us) },
  consumer: { title: "Consumer", isWide: true, cell: (event) => <Consumer event={event} /> },
  version: { title: "Version", isShort: true, cell: (event) => <Value field="version" value={event.version} /> },
  error: {
    title: "Error",
    cell: (event) => (event.error_type === "" ? "" : <Value field="error_type" value={event.error_type} />),
  },
  url: { title: "URL", isWide: true, cell: (event) => visibleText(event.url ?? "hidden", 100) },
  function: { title: "Function", cell: (event) => <Value field="function" value={event.function} /> },
  source: { title: "Source", cell: (event) => visibleText(event.source ?? "hidden", 60) },
  "first byte": { title: "First byte", isNumber: true, cell: (event) => formatDuration(event.ttfb_us) },
  received: { title: "Received", isNumber: true, cell: (event) => formatBytes(event.request_bytes) },
  sent: { title: "Sent", isNumber: true, cell: (event) => formatBytes(event.response_bytes) },
};

export const COLUMN_NAMES = Object.keys(COLUMNS);
export const USUAL_COLUMNS = COLUMN_NAMES.slice(0, 8);

/** Return the names of the columns that an address chooses. */
export function chosenColumns(text: string | undefined): string[] {
  return chosenOf(text, COLUMN_NAMES, USUAL_COLUMNS);
}

/** Return the columns of a table of requests. */
export function eventColumns(names: readonly string[] = USUAL_COLUMNS): readonly Column<StoredEvent>[] {
  if (isPhone.value) return [TWO_LINES];
  return names.map((name) => COLUMNS[name]).filter((column) => column !== undefined);
}

/** On a phone a tap opens the request, wherever it lands: its values are filters there. */
const TWO_LINES = twoLines<StoredEvent>({
  title: "Request",
  first: (event) => (
    <>
      <span class={statusClass(event)}>
        <code class="value">{event.status_code}</code>
      </span>{" "}
      {event.method} <code>{pathOf(event) ?? valueText("route", event.route)}</code>
    </>
  ),
  second: (event) => (
    <>
      <time>{eventTime(event.timestamp).slice(0, -4)}</time> · {formatDuration(event.response_us)} ·{" "}
      {event.consumer_id === undefined ? "hidden" : valueText("consumer_id", event.consumer_id)}
    </>
  ),
});

/** Return the path of a request without a route, which tells it apart; null where it has a route, or the path is hidden. */
function pathOf({ route, url }: StoredEvent): string | null {
  return (route === "" || route === "(unmatched)") && url !== undefined ? visibleText(url, 60) : null;
}

function Route({ event }: { event: StoredEvent }) {
  const path = pathOf(event);
  return (
    <>
      <Value field="route" value={event.route} />
      {path !== null && <span class="soft"> {path}</span>}
    </>
  );
}

function statusClass(event: StoredEvent): string {
  return `status s${Math.floor(event.status_code / 100)}`;
}

function Status({ event }: { event: StoredEvent }) {
  return (
    <span class={statusClass(event)}>
      <Value field="status_code" value={String(event.status_code)} />
    </span>
  );
}

function Consumer({ event }: { event: StoredEvent }) {
  return event.consumer_id === undefined ? <>hidden</> : <Value field="consumer_id" value={event.consumer_id} />;
}

/** Return requests as a table with all their fields, for CSV. */
export function eventTable(events: readonly StoredEvent[]): PanelTable {
  const names = Object.keys(events[0] ?? {}) as (keyof StoredEvent)[];
  return recordTable(events, names);
}

/** Return the time of a request to the millisecond, with the date where it is not today. */
export function eventTime(timestamp: number): string {
  const text = formatTime(timestamp, zone.value, true);
  const today = formatTime(Date.now() / 1000, zone.value).slice(0, 10);
  const milliseconds = String(Math.floor((timestamp % 1) * 1000)).padStart(3, "0");
  return `${text.startsWith(today) ? text.slice(11) : text}.${milliseconds}`;
}
