/** The table of single requests: one row opens, or a page of its own on a phone. */

import type { StoredEvent } from "../api/answers.ts";
import { withFilter } from "../filters.ts";
import { isPhone } from "../parts/phone.ts";
import { Table } from "../parts/Table.tsx";
import { showWith, view } from "../state.ts";
import { Detail, openEvent } from "./EventDetail.tsx";
import { chosenColumns, eventColumns } from "./event_columns.tsx";

/** The most requests that the page keeps. */
export const MAX_KEPT = 500;

/** Show requests, newest first. */
export function EventTable({ events }: { events: readonly StoredEvent[] }) {
  const { event: opened, columns } = view.value.own;
  return (
    <Table
      caption="Requests, newest first"
      rows={events}
      maxRows={MAX_KEPT}
      keyOf={(event) => event.id}
      isOpen={(event) => event.id === opened && !isPhone.value}
      onOpen={(event) => openEvent(event.id)}
      detail={(event) => <Detail event={event} />}
      exclude={(event) =>
        showWith({
          filters: withFilter(view.value.filters, { field: "route", value: event.route, kind: "not" }),
        })
      }
      columns={[
        ...eventColumns(chosenColumns(columns)),
        {
          title: "",
          cell: (event) => (
            <button
              type="button"
              class="quiet"
              aria-expanded={event.id === opened}
              aria-label="Details"
              onClick={() => openEvent(event.id)}
            >
              {isPhone.value ? "›" : "Details"}
            </button>
          ),
        },
      ]}
    />
  );
}
