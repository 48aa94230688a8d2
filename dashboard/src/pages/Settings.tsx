/** Settings: applications, keys, organization, deletion, this browser. Changes need an admin key. */

import { useSignal } from "@preact/signals";
import { onPage } from "../address.ts";
import type { Application, ApplicationList } from "../api/answers.ts";
import { signOut } from "../api/sign_in.ts";
import { schemeChanged } from "../charts/colours.ts";
import { ZonePicker } from "../parts/Bar.tsx";
import { Asking, Field, Section, setter, Text } from "../parts/Form.tsx";
import { Link } from "../parts/Link.tsx";
import { isPhone } from "../parts/phone.ts";
import { singleKeys, switchSingleKeys } from "../parts/single_keys.ts";
import { Table } from "../parts/Table.tsx";
import { adminKey, credential, lockSettings } from "../session.ts";
import { showWith, view } from "../state.ts";
import { browserStorage } from "../storage.ts";
import { Deletion } from "./Deletion.tsx";
import { Keys } from "./Keys.tsx";
import { Links } from "./Links.tsx";
import { useManaged } from "./managed.ts";
import { Organization } from "./Organization.tsx";
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

/** Show the settings: tabs, or on a phone a list of pages. */
export function Settings() {
  const tabs = Object.entries(TABS) as [Tab, string][];
  const named = tabs.find(([name]) => name === view.value.own.tab)?.[0];
  if (isPhone.value && named === undefined) {
    return (
      <ul class="panel list">
        {tabs.map(([name, title]) => (
          <li key={name}>
            <Link to={onPage(view.value, "settings", { tab: name })}>{title} ›</Link>
          </li>
        ))}
      </ul>
    );
  }
  const tab = named ?? "applications";
  const isUnlocked = adminKey.value !== null || credential.value?.kind === "admin";
  return (
    <>
      <div class="actions">
        {isPhone.value ? (
          <Link to={onPage(view.value, "settings")}>‹ Settings</Link>
        ) : (
          <div class="segments" role="tablist" aria-label="Settings">
            {tabs.map(([name, title]) => (
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
        )}
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

const LIMITS = [
  ["requestsPerMinute", "minute"],
  ["requestsPerHour", "hour"],
  ["requestsPerDay", "day"],
] as const;

function Applications() {
  const managed = useManaged<ApplicationList>("api/applications?limit=1000");
  const name = useSignal("");
  return (
    <Section title="Applications">
      <Asking of={managed} />
      <Table
        caption="Applications"
        isCards
        rows={managed.data.value?.applications ?? []}
        keyOf={({ id }) => id}
        columns={[
          {
            title: "Name",
            cell: (row) => (
              <Field
                label={`Name of ${row.name}`}
                value={row.name}
                save={(text) => managed.act("PATCH", `api/applications/${row.id}`, { name: text })}
              />
            ),
          },
          { title: "Id", isMinor: true, isShort: true, cell: (row) => <code>{row.id}</code> },
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
          ...LIMITS.map(([member, words]) => ({
            title: `Limit per ${words}`,
            isMinor: true,
            cell: (row: Application) => (
              <Field
                label={`Limit of requests per ${words} of ${row.name}; empty: none`}
                value={row.limits[member] === null ? "" : String(row.limits[member])}
                save={(text) =>
                  managed.act("PATCH", `api/applications/${row.id}`, {
                    limits: { ...row.limits, [member]: numberOrNull(text) },
                  })
                }
              />
            ),
          })),
        ]}
      />
      <p class="soft">A change is saved when you leave its field. Limits are watched, and not enforced.</p>
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
      <p class="check">
        <ZonePicker /> Time zone
      </p>
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

function numberOrNull(text: string): number | null {
  return text.trim() === "" ? null : Number(text);
}
