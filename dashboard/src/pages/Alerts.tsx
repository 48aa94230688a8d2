/** Alerts: what fires, what fired, would this rule have fired. */

import { useSignal } from "@preact/signals";
import { onPage } from "../address.ts";
import type { AlertEvents, Rule, TestedRule } from "../api/answers.ts";
import { ApiError, change } from "../api/client.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { parseFilter } from "../filters.ts";
import { formatExact, MISSING } from "../format.ts";
import { isFiring, useRules } from "../parts/firing.ts";
import { Link } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { recordTable } from "../parts/records.ts";
import { Table } from "../parts/Table.tsx";
import { adminKey, credential } from "../session.ts";
import { refresh, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { RuleEditor, thresholdWords } from "./RuleEditor.tsx";
import { Unlock } from "./Unlock.tsx";

const TABS = ["rules", "history", "edit"] as const;

/** Show alert rules, their history, or the editor of one. */
export function Alerts() {
  const { own } = view.value;
  const tab = TABS.find((name) => name === own.tab) ?? "rules";
  const canWrite = adminKey.value !== null || credential.value?.kind === "admin";
  return (
    <>
      <div class="actions">
        <div class="segments" role="tablist" aria-label="Alerts">
          {(["rules", "history"] as const).map((name) => (
            <button
              key={name}
              type="button"
              role="tab"
              aria-selected={tab === name}
              onClick={() => showWith({ own: name === "rules" ? {} : { tab: name } })}
            >
              {name === "rules" ? "Rules" : "History"}
            </button>
          ))}
        </div>
        <button type="button" onClick={() => showWith({ own: { tab: "edit" } })}>
          New rule
        </button>
      </div>
      {tab === "rules" && <Rules canWrite={canWrite} />}
      {tab === "history" && <History />}
      {tab === "edit" && (canWrite ? <RuleEditor ruleId={own.rule ?? null} /> : <Unlock />)}
    </>
  );
}

function Rules({ canWrite }: { canWrite: boolean }) {
  const resource = useRules();
  const problem = useSignal("");
  const act = async (method: string, address: string, body?: unknown) => {
    problem.value = "";
    try {
      const answer = await change<Partial<TestedRule> | null>(method, address, body, adminKey.value ?? undefined);
      if (answer?.delivered !== undefined) {
        problem.value = answer.delivered
          ? `The test arrived (${answer.status}).`
          : `The test failed: ${answer.error}`;
      }
      refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.value = error.message;
    }
  };
  return (
    <Panel
      title="Rules"
      resource={resource}
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
        ])
      }
      isEmpty={(data) => data.alerts.length === 0}
      empty={<p class="state">No rule yet. A rule tells you when errors, latency or traffic leave their bounds.</p>}
    >
      {(data) => (
        <>
          {problem.value !== "" && (
            <p class="notice" role="status">
              {problem.value}
            </p>
          )}
          <Table
            caption="Alert rules"
            rows={[...data.alerts].sort((a, b) => Number(isFiring(b)) - Number(isFiring(a)))}
            keyOf={(rule) => rule.id}
            open={(rule) => requestsOf(rule)}
            columns={[
              {
                title: "State",
                cell: (rule) => (
                  <span class={isFiring(rule) ? "change bad" : "soft"}>
                    {rule.paused ? "paused" : isFiring(rule) ? "● firing" : "quiet"}
                  </span>
                ),
              },
              { title: "Rule", cell: (rule) => rule.name },
              { title: "Fires when", cell: (rule) => thresholdWords(rule) },
              {
                title: "Now",
                isNumber: true,
                cell: (rule) => (rule.state.lastValue === null ? MISSING : `${rule.state.lastValue}`),
              },
              {
                title: "Since",
                isMinor: true,
                cell: (rule) =>
                  rule.state.since === null ? MISSING : formatTime(Date.parse(rule.state.since) / 1000, zone.value),
              },
              {
                title: "Filters",
                isMinor: true,
                cell: (rule) => [...rule.include, ...rule.exclude.map((text) => `not ${text}`)].join(", "),
              },
              {
                title: "",
                cell: (rule) => (
                  <span class="actions">
                    <Link to={requestsOf(rule)}>Open</Link>
                    {canWrite && (
                      <>
                        <Link to={onPage(view.value, "alerts", { tab: "edit", rule: rule.id })}>Edit</Link>
                        <button
                          type="button"
                          class="quiet"
                          onClick={() => act("PATCH", `api/alerts/${rule.id}`, { paused: !rule.paused })}
                        >
                          {rule.paused ? "Resume" : "Pause"}
                        </button>
                        <button
                          type="button"
                          class="quiet"
                          onClick={() => act("POST", `api/alerts/${rule.id}/test`, {})}
                        >
                          Send a test
                        </button>
                      </>
                    )}
                  </span>
                ),
              },
            ]}
          />
        </>
      )}
    </Panel>
  );
}

function History() {
  const resource = useQuestion<AlertEvents>(question("v1/alert-events", { limit: 200 }, { isUnfiltered: true }));
  return (
    <Panel
      title="History"
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
            { title: "Rule", cell: (event) => event.name },
            { title: "State", cell: (event) => event.kind },
            {
              title: "Value",
              isNumber: true,
              cell: (event) => (event.value === null ? MISSING : formatExact(event.value)),
            },
            { title: "Told", isMinor: true, cell: (event) => event.delivery },
          ]}
        />
      )}
    </Panel>
  );
}

/** Return the view of the requests behind a rule: its filters, from 30 minutes before it fired. */
function requestsOf(rule: Rule) {
  const filters = [
    ...rule.include.map((text) => parseFilter("is", text)),
    ...rule.exclude.map((text) => parseFilter("not", text)),
  ].filter((filter) => filter !== null);
  const since = rule.state.since === null ? null : Math.floor(Date.parse(rule.state.since) / 1000);
  const base = { ...onPage(view.value, "overview"), filters };
  if (since === null || !isFiring(rule)) return base;
  return {
    ...base,
    range: null,
    span: { startS: since - Math.max(1800, rule.windowS), endS: Math.floor(Date.now() / 1000) },
  };
}
