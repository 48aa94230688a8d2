/** The links of the organization: who may see what without a key, and until when. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { ShareList } from "../api/answers.ts";
import { change } from "../api/client.ts";
import { Problem, useRefusal } from "../parts/Form.tsx";
import { Table } from "../parts/Table.tsx";
import { adminKey } from "../session.ts";
import { zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { seenText } from "./figures.tsx";

/** Show the live links, each with a button that ends it. */
export function Links() {
  const shares = useSignal<ShareList["shares"]>([]);
  const { problem, run } = useRefusal();
  const load = () =>
    run(async () => {
      const page = await change<ShareList>("GET", "api/shares?limit=1000", undefined, adminKey.value ?? undefined);
      shares.value = page.shares;
    });
  const end = (id: string) =>
    run(async () => {
      await change("DELETE", `api/shares/${id}`, undefined, adminKey.value ?? undefined);
      await load();
    });
  useEffect(() => {
    load();
  }, []);
  return (
    <section class="panel form" aria-label="Links">
      <h2>Links</h2>
      <p class="soft">
        <em>Share</em>, above every page, makes a link to what the page shows.
      </p>
      <Problem text={problem.value} />
      <Table
        caption="Links"
        rows={shares.value}
        keyOf={({ id }) => id}
        columns={[
          { title: "Name", cell: (row) => row.name || <code>{row.id}</code> },
          { title: "Application", isMinor: true, cell: (row) => row.application },
          {
            title: "Shows",
            cell: (row) => [...row.include, ...row.exclude.map((text) => `not ${text}`)].join(", ") || "all requests",
          },
          { title: "Pages", isMinor: true, cell: (row) => row.pages.join(", ") },
          { title: "In frames of", isMinor: true, cell: (row) => row.embedOrigins.join(", ") || "nobody" },
          { title: "Ends", cell: (row) => formatTime(Date.parse(row.expiresAt) / 1000, zone.value) },
          { title: "Last used", cell: (row) => (row.lastUsedAt === null ? "never" : seenText(row.lastUsedAt)) },
          {
            title: "",
            cell: (row) => (
              <button type="button" onClick={() => end(row.id)}>
                End
              </button>
            ),
          },
        ]}
      />
    </section>
  );
}
