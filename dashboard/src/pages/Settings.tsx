/** Settings: applications, keys, organization, deletion, this browser. Changes need an admin key. */

import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import type { ApplicationList, KeyList, NewKey, OneOrganization } from "../api/answers.ts";
import { ApiError, change } from "../api/client.ts";
import { signOut } from "../api/sign_in.ts";
import { schemeChanged } from "../charts/colours.ts";
import { formatCount, formatExact } from "../format.ts";
import { Problem, Text } from "../parts/Form.tsx";
import { singleKeys, switchSingleKeys } from "../parts/single_keys.ts";
import { Table } from "../parts/Table.tsx";
import { adminKey, credential, lockSettings } from "../session.ts";
import { application, showWith, view } from "../state.ts";
import { browserStorage } from "../storage.ts";
import { seenText } from "./figures.tsx";
import { Links } from "./Links.tsx";
import { useManaged } from "./managed.ts";
import { Sessions } from "./Sessions.tsx";
import { Unlock } from "./Unlock.tsx";

const TABS = {
  applications: "Applications",
  keys: "Keys",
  organization: "Organization",
  links: "Links",
  sessions: "Sessions",
  delete: "Delete data",
  browser: "This browser",
} as const;

type Tab = keyof typeof TABS;

/** Show the settings. */
export function Settings() {
  const tab = (Object.keys(TABS) as Tab[]).find((name) => name === view.value.own.tab) ?? "applications";
  const isUnlocked = adminKey.value !== null || credential.value?.kind === "admin";
  return (
    <>
      <div class="actions">
        <div class="segments" role="tablist" aria-label="Settings">
          {(Object.entries(TABS) as [Tab, string][]).map(([name, title]) => (
            <button
              key={name}
              type="button"
              role="tab"
              aria-selected={tab === name}
              onClick={() => showWith({ own: { tab: name } })}
            >
              {title}
            </button>
          ))}
        </div>
        {adminKey.value !== null && (
          <button type="button" onClick={lockSettings}>
            Lock
          </button>
        )}
      </div>
      {tab === "browser" ? <Browser /> : isUnlocked || tab === "links" ? <Locked tab={tab} /> : <Unlock />}
    </>
  );
}

function Locked({ tab }: { tab: Exclude<Tab, "browser"> }) {
  const parts = {
    applications: Applications,
    keys: Keys,
    organization: Organization,
    links: Links,
    sessions: Sessions,
    delete: Deletion,
  };
  const Shown = parts[tab];
  return <Shown />;
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="panel form" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Applications() {
  const managed = useManaged<ApplicationList>("api/applications?limit=1000");
  const name = useSignal("");
  return (
    <Section title="Applications">
      <Problem text={managed.problem.value} />
      <Table
        caption="Applications"
        rows={managed.data.value?.applications ?? []}
        keyOf={({ id }) => id}
        columns={[
          { title: "Name", cell: (row) => row.name },
          { title: "Id", isMinor: true, cell: (row) => <code>{row.id}</code> },
          {
            title: "Kept for, days",
            cell: (row) => (
              <Field
                label={`Days that ${row.name} keeps its events; empty: for ever`}
                value={row.retentionDays === null ? "" : String(row.retentionDays)}
                save={(text) =>
                  managed.act("PATCH", `api/applications/${row.id}`, { retentionDays: numberOrNull(text) })
                }
              />
            ),
          },
          {
            title: "Target, ms",
            cell: (row) => (
              <Field
                label={`Response time that ${row.name} aims at, in milliseconds; empty: none`}
                value={row.targetMs === null || row.targetMs === undefined ? "" : String(row.targetMs)}
                save={(text) => managed.act("PATCH", `api/applications/${row.id}`, { targetMs: numberOrNull(text) })}
              />
            ),
          },
          {
            title: "Requests per hour, limit",
            isMinor: true,
            cell: (row) => (
              <Field
                label={`Limit of requests per hour of ${row.name}; empty: none`}
                value={row.limits.requestsPerHour === null ? "" : String(row.limits.requestsPerHour)}
                save={(text) =>
                  managed.act("PATCH", `api/applications/${row.id}`, {
                    limits: { ...row.limits, requestsPerHour: numberOrNull(text) },
                  })
                }
              />
            ),
          },
        ]}
      />
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          managed.act("POST", "api/applications", { name: name.value });
          name.value = "";
        }}
      >
        <Text label="New application" value={name.value} onInput={setter(name)} isRequired />
        <button type="submit">Make</button>
      </form>
    </Section>
  );
}

function Field({ label, value, save }: { label: string; value: string; save: (text: string) => void }) {
  return (
    <input
      class="short"
      aria-label={label}
      value={value}
      inputMode="numeric"
      onChange={(event) => {
        if (event.currentTarget.value !== value) save(event.currentTarget.value);
      }}
    />
  );
}

function Keys() {
  const managed = useManaged<KeyList>("api/keys?limit=1000");
  const kind = useSignal("read");
  const name = useSignal("");
  const made = useSignal("");
  const make = () =>
    managed.run(async () => {
      const body = {
        kind: kind.value,
        name: name.value,
        ...(kind.value === "admin" ? {} : { application: application.value?.id }),
      };
      const answer = await change<NewKey>("POST", "api/keys", body, adminKey.value ?? undefined);
      made.value = answer.secret;
      await managed.load();
    });
  const rotate = (id: string) =>
    managed.run(async () => {
      const answer = await change<NewKey>("POST", `api/keys/${id}/rotate`, {}, adminKey.value ?? undefined);
      made.value = answer.secret;
      await managed.load();
    });
  return (
    <Section title="Keys">
      <Problem text={managed.problem.value} />
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
            <option value="read">read, for {application.value?.name}</option>
            <option value="write">write, for {application.value?.name}</option>
            <option value="admin">admin, for the organization</option>
          </select>
        </label>
        <Text label="Name" value={name.value} onInput={setter(name)} />
        <button type="submit">Make</button>
      </form>
      {made.value !== "" && (
        <p class="once">
          <code>{made.value}</code>
          <span class="actions">
            <button type="button" onClick={() => navigator.clipboard.writeText(made.value)}>
              Copy
            </button>
            <button
              type="button"
              onClick={() => {
                made.value = "";
              }}
            >
              Done
            </button>
          </span>
          <span class="soft">Shown once. It is not stored.</span>
        </p>
      )}
      <Table
        caption="Keys"
        rows={(managed.data.value?.keys ?? []).filter(({ revokedAt }) => revokedAt === null)}
        keyOf={({ id }) => id}
        columns={[
          { title: "Kind", cell: (key) => key.kind },
          { title: "Name", cell: (key) => key.name },
          { title: "Application", isMinor: true, cell: (key) => key.application ?? "all" },
          { title: "Starts with", isMinor: true, cell: (key) => <code>{key.firstCharacters}…</code> },
          { title: "Created", isMinor: true, cell: (key) => seenText(key.createdAt) },
          { title: "Last used", cell: (key) => seenText(key.lastUsedAt) },
          { title: "Expires", isMinor: true, cell: (key) => seenText(key.expiresAt) },
          {
            title: "",
            cell: (key) => (
              <span class="actions">
                <button type="button" class="quiet" onClick={() => rotate(key.id)}>
                  Rotate
                </button>
                <button type="button" class="danger" onClick={() => managed.act("DELETE", `api/keys/${key.id}`)}>
                  Revoke
                </button>
              </span>
            ),
          },
        ]}
      />
    </Section>
  );
}

function Organization() {
  const managed = useManaged<OneOrganization>("api/organization");
  const calls = useManaged<Record<string, unknown>>("api/analytics/overview");
  const data = managed.data.value?.organization ?? null;
  return (
    <Section title="Organization">
      <Problem text={managed.problem.value || calls.problem.value} />
      {data !== null && (
        <dl class="pairs">
          <dt>Name</dt>
          <dd>
            <Field
              label="Name"
              value={data.name}
              save={(name) => managed.act("PATCH", "api/organization", { name })}
            />
          </dd>
          {flat({ plan: data.plan, ...(calls.data.value ?? {}) }).map(([name, value]) => (
            <>
              <dt key={name}>{name}</dt>
              <dd key={`${name} value`}>
                {typeof value === "number" ? formatCount(value) : String(value ?? "no limit")}
              </dd>
            </>
          ))}
        </dl>
      )}
    </Section>
  );
}

/** Return the figures of an answer, lists left out. */
function flat(value: Record<string, unknown>, prefix = ""): [string, unknown][] {
  return Object.entries(value).flatMap(([name, member]): [string, unknown][] => {
    if (Array.isArray(member)) return [];
    if (typeof member === "object" && member !== null)
      return flat(member as Record<string, unknown>, `${prefix}${name}.`);
    return [[`${prefix}${name}`, member]];
  });
}

function Deletion() {
  const consumer = useSignal("");
  const typed = useSignal("");
  const told = useSignal("");
  const shown = application.value;
  if (shown === null) return null;
  const remove = async () => {
    try {
      const address = `api/applications/${shown.id}/consumers?consumer_id=${encodeURIComponent(consumer.value)}`;
      const answer = await change<{ status?: string; job?: string; events?: number }>(
        "DELETE",
        address,
        undefined,
        adminKey.value ?? undefined,
      );
      const events = answer?.events === undefined ? "" : ` ${formatExact(answer.events)} events.`;
      told.value = `The deletion of “${consumer.value}” is ${answer?.status ?? "done"}.${events}`;
      typed.value = "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      told.value = error.message;
    }
  };
  return (
    <Section title="Delete data">
      <p>Delete every event of one consumer of “{shown.name}”, for good. The rollups are made again without them.</p>
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          remove();
        }}
      >
        <Text label="Consumer" value={consumer.value} onInput={setter(consumer)} isRequired />
        <Text label="The same name again" value={typed.value} onInput={setter(typed)} isRequired />
        <button type="submit" class="danger" disabled={consumer.value === "" || consumer.value !== typed.value}>
          Delete
        </button>
      </form>
      {told.value !== "" && (
        <p class="notice" role="status">
          {told.value}
        </p>
      )}
    </Section>
  );
}

const SCHEME = "apimetry.scheme";
const DENSITY = "apimetry.density";

/** Show the page in the colours and the density that this browser keeps. */
export function applyAppearance(): void {
  const { dataset } = document.documentElement;
  dataset.scheme = browserStorage.getItem(SCHEME) ?? "auto";
  dataset.density = browserStorage.getItem(DENSITY) ?? "compact";
}

function Browser() {
  const scheme = useSignal(browserStorage.getItem(SCHEME) ?? "auto");
  const density = useSignal(browserStorage.getItem(DENSITY) ?? "compact");
  const keep = (name: string, value: string) => {
    browserStorage.setItem(name, value);
    applyAppearance();
    schemeChanged();
  };
  return (
    <Section title="This browser">
      <label class="check">
        <select
          value={scheme.value}
          aria-label="Colours"
          onChange={(event) => {
            scheme.value = event.currentTarget.value;
            keep(SCHEME, scheme.value);
          }}
        >
          <option value="auto">as the system</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
        Colours
      </label>
      <label class="check">
        <select
          value={density.value}
          aria-label="Rows"
          onChange={(event) => {
            density.value = event.currentTarget.value;
            keep(DENSITY, density.value);
          }}
        >
          <option value="compact">compact</option>
          <option value="comfortable">comfortable</option>
        </select>
        Rows of tables
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={singleKeys.value}
          onChange={(event) => switchSingleKeys(event.currentTarget.checked)}
        />
        Single keys such as <kbd>f</kbd> work
      </label>
      <p class="actions">
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      </p>
    </Section>
  );
}

function setter(text: Signal<string>): (value: string) => void {
  return (value) => {
    text.value = value;
  };
}

function numberOrNull(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}
