/** The columns of single requests. */

import type { StoredEvent } from "../api/answers.ts";
import { formatDuration } from "../format.ts";
import { Value } from "../parts/Link.tsx";
import type { PanelTable } from "../parts/Panel.tsx";
import { recordTable } from "../parts/records.ts";
import type { Column } from "../parts/Table.tsx";
import { zone } from "../state.ts";
import { formatTime } from "../zones.ts";

export const EVENT_COLUMNS: readonly Column<StoredEvent>[] = [
  { title: "Time", cell: (event) => <time>{eventTime(event.timestamp)}</time> },
  {
    title: "Status",
    cell: (event) => (
      <span class={`status s${Math.floor(event.status_code / 100)}`}>
        <Value field="status_code" value={String(event.status_code)} />
      </span>
    ),
  },
  { title: "Method", isShort: true, cell: (event) => event.method },
  { title: "Route", isWide: true, cell: (event) => <Value field="route" value={event.route} /> },
  { title: "Duration", isNumber: true, cell: (event) => formatDuration(event.response_us) },
  {
    title: "Consumer",
    isMinor: true,
    cell: (event) =>
      event.consumer_id === undefined ? "hidden" : <Value field="consumer_id" value={event.consumer_id} />,
  },
  {
    title: "Version",
    isMinor: true,
    isShort: true,
    cell: (event) => <Value field="version" value={event.version} />,
  },
  {
    title: "Error",
    isMinor: true,
    cell: (event) => (event.error_type === "" ? "" : <Value field="error_type" value={event.error_type} />),
  },
];

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
