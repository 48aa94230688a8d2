/** The sessions of the organization: who is signed in, with which key, and until when. */

import type { SessionList } from "../api/answers.ts";
import { Problem } from "../parts/Form.tsx";
import { Table } from "../parts/Table.tsx";
import { zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { seenText } from "./figures.tsx";
import { useManaged } from "./managed.ts";

/** Show the live sessions, each with a button that ends it. */
export function Sessions() {
  const { data, problem, act } = useManaged<SessionList>("api/sessions?limit=1000");
  return (
    <section class="panel form" aria-label="Sessions">
      <h2>Sessions</h2>
      <p class="soft">Whoever signed in to a dashboard has one. It ends with its key, or here.</p>
      <Problem text={problem.value} />
      <Table
        caption="Sessions"
        isCards
        rows={data.value?.sessions ?? []}
        keyOf={({ id }) => id}
        columns={[
          { title: "Of a key", cell: (row) => row.kind },
          { title: "Key", cell: (row) => <code>{row.keyId}</code> },
          { title: "Application", isMinor: true, cell: (row) => row.application ?? "all" },
          {
            title: "Signed in",
            isMinor: true,
            cell: (row) => formatTime(Date.parse(row.createdAt) / 1000, zone.value),
          },
          { title: "Last used", cell: (row) => (row.lastUsedAt === null ? "never" : seenText(row.lastUsedAt)) },
          { title: "Ends", cell: (row) => formatTime(Date.parse(row.expiresAt) / 1000, zone.value) },
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
