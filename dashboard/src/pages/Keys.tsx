/** The keys of the organization: made, rotated with an overlap, revoked. A new one is shown once. */

import { useSignal } from "@preact/signals";
import type { KeyList, NewKey } from "../api/answers.ts";
import { change } from "../api/client.ts";
import { visibleText } from "../format.ts";
import { Asking, Once, Section, Sure, setter, Text } from "../parts/Form.tsx";
import { Table } from "../parts/Table.tsx";
import { adminKey } from "../session.ts";
import { application, applicationName } from "../state.ts";
import { FrameworkLines } from "./FrameworkLines.tsx";
import { endText, seenText } from "./figures.tsx";
import { useManaged } from "./managed.ts";

const OVERLAPS: readonly [label: string, seconds: number][] = [
  ["at once", 0],
  ["in 1 hour", 3600],
  ["in 1 day", 86_400],
  ["in 7 days", 604_800],
];

/** Show the keys that work. */
export function Keys() {
  const managed = useManaged<KeyList>("api/keys?limit=1000");
  const kind = useSignal("read");
  const name = useSignal("");
  const made = useSignal<NewKey | null>(null);
  const overlapS = useSignal(86_400);
  const make = () =>
    managed.run(async () => {
      const body = {
        kind: kind.value,
        name: name.value,
        ...(kind.value === "admin" ? {} : { application: application.value?.id }),
      };
      made.value = await change<NewKey>("POST", "api/keys", body, adminKey.value ?? undefined);
      await managed.load();
    });
  const rotate = (id: string) =>
    managed.run(async () => {
      const body = { overlapS: overlapS.value };
      made.value = await change<NewKey>("POST", `api/keys/${id}/rotate`, body, adminKey.value ?? undefined);
      await managed.load();
    });
  return (
    <Section title="Keys">
      <Asking of={managed} />
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          make();
        }}
      >
        <label>
          New key
          <select
            value={kind.value}
            onChange={(event) => {
              kind.value = event.currentTarget.value;
            }}
          >
            <option value="read">read, for {applicationName(application.value?.id)}</option>
            <option value="write">write, for {applicationName(application.value?.id)}</option>
            <option value="admin">admin, for the organization</option>
          </select>
        </label>
        <Text label="Name" value={name.value} onInput={setter(name)} />
        <button type="submit">Make</button>
      </form>
      {made.value !== null && (
        <Once
          secret={made.value.secret}
          what="Key"
          close={() => {
            made.value = null;
          }}
        >
          {made.value.key.kind === "write" && <FrameworkLines writeKey={made.value.secret} />}
        </Once>
      )}
      <div class="fields">
        <label>
          A rotated key ends{" "}
          <select
            value={overlapS.value}
            onChange={(event) => {
              overlapS.value = Number(event.currentTarget.value);
            }}
          >
            {OVERLAPS.map(([label, seconds]) => (
              <option key={seconds} value={seconds}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Table
        caption="Keys"
        isCards
        rows={(managed.data.value?.keys ?? []).filter(({ revokedAt }) => revokedAt === null)}
        keyOf={({ id }) => id}
        columns={[
          { title: "Kind", cell: (key) => key.kind },
          { title: "Name", cell: (key) => visibleText(key.name) },
          { title: "Application", isMinor: true, cell: (key) => applicationName(key.application) },
          { title: "Starts with", isMinor: true, cell: (key) => <code>{key.firstCharacters}…</code> },
          { title: "Created", isMinor: true, cell: (key) => seenText(key.createdAt) },
          { title: "Last used", cell: (key) => seenText(key.lastUsedAt) },
          { title: "Expires", isMinor: true, cell: (key) => endText(key.expiresAt) },
          {
            title: "",
            cell: (key) => (
              <span class="actions">
                <button type="button" class="quiet" onClick={() => rotate(key.id)}>
                  Rotate
                </button>
                <Sure label="Revoke" onSure={() => managed.act("DELETE", `api/keys/${key.id}`)} />
              </span>
            ),
          },
        ]}
      />
    </Section>
  );
}
