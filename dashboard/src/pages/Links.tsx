/** The links of the organization: who may see what without a key, and until when. */

import type { ShareList } from "../api/answers.ts";
import { visibleText } from "../format.ts";
import { Asking } from "../parts/Form.tsx";
import { Table } from "../parts/Table.tsx";
import { adminKey, credential } from "../session.ts";
import { applicationName, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { endText, seenText } from "./figures.tsx";
import { useManaged } from "./managed.ts";

/** Show the live links, each with a button that ends it. */
export function Links() {
  const isAll = adminKey.value !== null || credential.value?.kind === "admin";
  const managed = useManaged<ShareList>("api/shares?limit=1000");
  const { data, act } = managed;
  return (
    <section class="panel form" aria-label="Links">
      <h2>Links</h2>
      <p class="soft">
        <em>Share</em>, above every page, makes a link to what the page shows.
        {isAll ? "" : " These are the links of your own key; an admin key shows all."}
      </p>
      <Asking of={managed} />
      {data.value?.shares.length === 0 && <p>No link yet.</p>}
      <Table
        caption="Links"
        isCards
        rows={data.value?.shares ?? []}
        keyOf={({ id }) => id}
        columns={[
          { title: "Name", cell: (row) => visibleText(row.name) || <code>{row.id}</code> },
          { title: "Application", isMinor: true, cell: (row) => applicationName(row.application) },
          {
            title: "Shows",
            cell: (row) =>
              visibleText([...row.include, ...row.exclude.map((text) => `not ${text}`)].join(", ")) || "all requests",
          },
          { title: "Pages", isMinor: true, cell: (row) => row.pages.join(", ") },
          { title: "In frames of", isMinor: true, cell: (row) => row.embedOrigins.join(", ") || "nobody" },
          {
            title: "Nothing before",
            isMinor: true,
            cell: (row) => (row.notBefore === null ? "–" : formatTime(row.notBefore, zone.value)),
          },
          { title: "Ends", cell: (row) => endText(row.expiresAt) },
          { title: "Last used", cell: (row) => (row.lastUsedAt === null ? "never" : seenText(row.lastUsedAt)) },
          {
            title: "",
            cell: (row) => (
              <button type="button" onClick={() => act("DELETE", `api/shares/${row.id}`)}>
                End
              </button>
            ),
          },
        ]}
      />
    </section>
  );
}
