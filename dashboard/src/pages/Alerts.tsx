/** Alerts: what fires, what fired, would this rule have fired. */

import { type Signal, useSignal } from "@preact/signals";
import { onPage } from "../address.ts";
import type { AlertEvents, Rule, RuleList, TestedRule } from "../api/answers.ts";
import { ApiError, change } from "../api/client.ts";
import { question } from "../api/questions.ts";
import { type Resource, useQuestion } from "../api/resource.ts";
import { MISSING, visibleText } from "../format.ts";
import { isFiring, useRules } from "../parts/firing.ts";
import { Link } from "../parts/Link.tsx";
import { notFiltered } from "../parts/not_filtered.ts";
import { Panel } from "../parts/Panel.tsx";
import { recordTable } from "../parts/records.ts";
import { Table } from "../parts/Table.tsx";
import { adminKey, credential } from "../session.ts";
import { refresh, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { RuleEditor } from "./RuleEditor.tsx";
import { filterTexts, overviewOf, requestsOf } from "./rule_views.ts";
import { measured, testWords, thresholdWords, valueWords, withUnit } from "./rule_words.ts";
import { Unlock } from "./Unlock.tsx";

const TABS = ["firing", "rules", "history"] as const;
const TAB_NAMES = { firing: "Firing", rules: "Rules", history: "History" } as const;

/** Show the rules that fire, all rules, their history, or the editor of one. */
export function Alerts() {
  const { own } = view.value;
  const rules = useRules();
  const alerts = rules.value.data?.alerts ?? [];
  const firing = alerts.filter(isFiring);
  const tab = TABS.find((name) => name === own.tab) ?? (firing.length > 0 ? "firing" : "rules");
  const canWrite = adminKey.value !== null || credential.value?.kind === "admin";
  const { told, act } = useActions();
  if (own.tab === "edit") return canWrite ? <RuleEditor ruleId={own.rule ?? null} /> : <Unlock />;
  const counts = { firing: firing.length, rules: alerts.length, history: null };
  return (
    <>
      <div class="actions">
        <div class="segments" role="tablist" aria-label="Alerts">
          {TABS.map((name) => (
            <button
              key={name}
              type="button"
              role="tab"
              aria-selected={tab === name}
              onClick={() => showWith({ own: { tab: name } })}
            >
              {TAB_NAMES[name]} {counts[name] ?? ""}
            </button>
          ))}
        </div>
        <button type="button" onClick={() => showWith({ own: { tab: "edit" } })}>
          New rule
        </button>
      </div>
      {told !== "" && (
        <p class="notice" role="status">
          {told}
        </p>
      )}
      {tab === "firing" && <Firing rules={rules} act={canWrite ? act : null} />}
      {tab === "rules" && <Rules rules={rules} act={canWrite ? act : null} />}
      {tab === "history" && <History />}
    </>
  );
}

/** Changes a rule; null: the key may not. */
type Act = ((method: string, address: string, body?: unknown) => Promise<void>) | null;

function useActions(): { told: string; act: NonNullable<Act> } {
  const told = useSignal("");
  const act = async (method: string, address: string, body?: unknown) => {
    told.value = "";
    try {
      const answer = await change<Partial<TestedRule> | null>(method, address, body, adminKey.value ?? undefined);
      if (answer?.delivered !== undefined) told.value = testWords(answer);
      refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      told.value = error.message;
    }
  };
  return { told: told.value, act };
}

function Firing({ rules, act }: { rules: Signal<Resource<RuleList>>; act: Act }) {
  return (
    <Panel
      title="Firing now"
      cannotFilter={notFiltered("rules have filters of their own")}
      resource={rules}
      height={80}
      isEmpty={(data) => !data.alerts.some(isFiring)}
      empty={<p class="state">No rule fires now.</p>}
    >
      {(data) => (
        <ul class="cards">
          {data.alerts.filter(isFiring).map((rule) => (
            <li key={rule.id} class="card">
              <strong>
                <span class="change bad">●</span> {visibleText(rule.name)}
              </strong>
              <span>{valueWords(rule)}</span>
              <span class="soft">since {sinceWords(rule)}</span>
              <span class="soft">{filterTexts(rule)}</span>
              <RuleActions rule={rule} act={act} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function Rules({ rules, act }: { rules: Signal<Resource<RuleList>>; act: Act }) {
  return (
    <Panel
      title="Rules"
      cannotFilter={notFiltered("rules have filters of their own")}
      resource={rules}
      table={(data) =>
        recordTable(data.alerts, [
          "name",
          "metric",
          "direction",
          "threshold",
          "windowS",
          "paused",
          "include",
          "exclude",
          "has",
          "minResponseUs",
          "maxResponseUs",
        ])
      }
      isEmpty={(data) => data.alerts.length === 0}
      empty={<p class="state">No rule yet. A rule tells you when errors, latency or traffic leave their bounds.</p>}
    >
      {(data) => (
        <Table
          caption="Alert rules"
          isCards
          rows={[...data.alerts].sort((a, b) => Number(isFiring(b)) - Number(isFiring(a)))}
          keyOf={(rule) => rule.id}
          open={(rule) => overviewOf(rule)}
          columns={[
            {
              title: "State",
              isShort: true,
              cell: (rule) => (
                <span class={isFiring(rule) ? "change bad" : "soft"}>
                  {rule.paused ? "paused" : isFiring(rule) ? "● firing" : "quiet"}
                </span>
              ),
            },
            { title: "Rule", cell: (rule) => visibleText(rule.name) },
            { title: "Fires when", cell: (rule) => thresholdWords(rule) },
            {
              title: "Now",
              isNumber: true,
              cell: measured,
            },
            { title: "Since", isMinor: true, cell: sinceWords },
            { title: "Filters", isMinor: true, cell: filterTexts },
            { title: "", cell: (rule) => <RuleActions rule={rule} act={act} /> },
          ]}
        />
      )}
    </Panel>
  );
}

function RuleActions({ rule, act }: { rule: Rule; act: Act }) {
  return (
    <span class="actions">
      <Link to={overviewOf(rule)}>Overview</Link>
      <Link to={requestsOf(rule)}>Requests</Link>
      {act !== null && (
        <>
          <Link to={onPage(view.value, "alerts", { tab: "edit", rule: rule.id })}>Edit</Link>
          <button
            type="button"
            class="quiet"
            onClick={() => act("PATCH", `api/alerts/${rule.id}`, { paused: !rule.paused })}
          >
            {rule.paused ? "Resume" : "Pause"}
          </button>
          <button type="button" class="quiet" onClick={() => act("POST", `api/alerts/${rule.id}/test`, {})}>
            Send a test
          </button>
        </>
      )}
    </span>
  );
}

function sinceWords(rule: Rule): string {
  return rule.state.since === null ? MISSING : formatTime(Date.parse(rule.state.since) / 1000, zone.value);
}

function History() {
  const resource = useQuestion<AlertEvents>(question("v1/alert-events", { limit: 200 }, { isUnfiltered: true }));
  const rules = useRules().value.data?.alerts ?? [];
  const ruleOf = (event: AlertEvents["events"][number]) => rules.find(({ id }) => id === event.alert);
  return (
    <Panel
      title="History"
      cannotFilter={notFiltered("rules have filters of their own")}
      resource={resource}
      isEmpty={(data) => data.events.length === 0}
      empty={<p class="state">No alert fired in this range.</p>}
      table={(data) => recordTable(data.events, ["at", "name", "kind", "value", "threshold", "delivery"])}
    >
      {(data) => (
        <Table
          caption="What rules did"
          rows={data.events}
          keyOf={(event) => event.id}
          columns={[
            { title: "When", cell: (event) => formatTime(Date.parse(event.at) / 1000, zone.value, true) },
            { title: "Rule", cell: (event) => visibleText(event.name) },
            { title: "State", isShort: true, cell: (event) => event.kind },
            {
              title: "Value",
              isNumber: true,
              cell: (event) => withUnit(ruleOf(event)?.metric ?? "", event.value),
            },
            { title: "Told", isMinor: true, cell: (event) => event.delivery },
            {
              title: "",
              isShort: true,
              cell: (event) => {
                const rule = ruleOf(event);
                return rule === undefined ? "" : <Link to={requestsOf(rule, event.at)}>Requests</Link>;
              },
            },
          ]}
        />
      )}
    </Panel>
  );
}
