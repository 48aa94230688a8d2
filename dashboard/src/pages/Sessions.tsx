/** The sessions of the organization: who is signed in, with which key, and until when. */

import type { SessionList } from "../api/answers.ts";
import { Asking } from "../parts/Form.tsx";
import { Table } from "../parts/Table.tsx";
import { applicationName, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { endText, seenText } from "./figures.tsx";
import { useManaged } from "./managed.ts";

/** Show the live sessions, each with a button that ends it. */
export function Sessions() {
  const managed = useManaged<SessionList>("api/sessions?limit=1000");
  const { data, act } = managed;
  return (
    <section class="panel form" aria-label="Sessions">
      <h2>Sessions</h2>
      <p class="soft">Whoever signed in to a dashboard has one. It ends with its key, or here.</p>
      <Asking of={managed} />
      <Table
        caption="Sessions"
        isCards
        rows={data.value?.sessions ?? []}
        keyOf={({ id }) => id}
        columns={[
          { title: "Of a key", cell: (row) => row.kind },
          { title: "Key", cell: (row) => <code>{row.keyId}</code> },
          { title: "Application", isMinor: true, cell: (row) => applicationName(row.application) },
          {
            title: "Signed in",
            isMinor: true,
            cell: (row) => formatTime(Date.parse(row.createdAt) / 1000, zone.value),
          },
          { title: "Last used", cell: (row) => (row.lastUsedAt === null ? "never" : seenText(row.lastUsedAt)) },
          { title: "Ends", cell: (row) => endText(row.expiresAt) },
          {
            title: "",
            cell: (row) => (
              <button type="button" onClick={() => act("DELETE", `api/sessions/${row.id}`)}>
                End
              </button>
            ),
          },
        ]}
      />
    </section>
  );
}
