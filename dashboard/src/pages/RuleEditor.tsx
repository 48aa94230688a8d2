/** The editor of an alert rule: a sentence to fill in, and whether the rule would have fired in the last days. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { NewRule, OneRule, Preview, Rule, TestedRule } from "../api/answers.ts";
import { change } from "../api/client.ts";
import { formatCount, formatExact } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { Once, Problem, Sure, Text, useRefusal } from "../parts/Form.tsx";
import { isPhone } from "../parts/phone.ts";
import { adminKey } from "../session.ts";
import { application, refresh, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { filtersOfPage, filterTexts, type RuleFilters } from "./rule_views.ts";
import { METRICS, testWords, WINDOWS_S, windowWords } from "./rule_words.ts";

interface Draft {
  name: string;
  metric: string;
  direction: string;
  threshold: string;
  percentile: string;
  windowS: number;
  minimumRequests: string;
  webhookUrl: string;
  /** PagerDuty's key; empty: the one that is saved. */
  routingKey: string;
}

/** Show the editor of a new rule, or of one that exists. */
export function RuleEditor({ ruleId }: { ruleId: string | null }) {
  const draft = useSignal<Draft>({
    name: "",
    metric: "error_rate",
    direction: "above",
    threshold: "5",
    percentile: "95",
    windowS: 300,
    minimumRequests: "20",
    webhookUrl: "",
    routingKey: "",
  });
  const filters = useSignal<RuleFilters>(filtersOfPage());
  const isLoaded = useSignal(ruleId === null);
  const isSigned = useSignal(false);
  const hasRoutingKey = useSignal(false);
  const secret = useSignal("");
  const preview = useSignal<Preview | null>(null);
  const tested = useSignal("");
  const { problem, run } = useRefusal();
  const key = adminKey.value ?? undefined;
  const path = `api/alerts/${encodeURIComponent(ruleId ?? "")}`;
  useEffect(() => {
    if (ruleId === null) return;
    // A reader's own key does not see the address that a rule tells.
    run(async () => {
      const { alert } = await change<OneRule>("GET", path, undefined, key);
      const { include, exclude, has, minResponseUs, maxResponseUs } = alert;
      draft.value = draftOf(alert);
      filters.value = { include, exclude, has, minResponseUs, maxResponseUs };
      isSigned.value = alert.channel === "webhook";
      hasRoutingKey.value = alert.routingKey !== null;
      isLoaded.value = true;
    });
  }, [ruleId]);
  const set = (parts: Partial<Draft>) => {
    draft.value = { ...draft.value, ...parts };
    preview.value = null;
  };
  const body = () => bodyOf(draft.value, filters.value);
  const showPreview = () =>
    run(async () => {
      preview.value = await change<Preview>(
        "POST",
        "api/alerts/preview",
        // What is tried needs no name yet, and tells nobody.
        {
          ...body(),
          name: draft.value.name || "untitled",
          webhookUrl: null,
          routingKey: null,
          application: application.value?.id,
          days: 7,
        },
        key,
      );
    });
  const sendTest = () =>
    run(async () => {
      tested.value = testWords(await change<TestedRule>("POST", `${path}/test`, {}, key));
    });
  const close = () => {
    refresh();
    showWith({ own: { tab: "rules" } });
  };
  const saveRule = () =>
    run(async () => {
      if (ruleId !== null) {
        await change("PATCH", path, body(), key);
        close();
        return;
      }
      const made = await change<NewRule>(
        "POST",
        "api/alerts",
        { ...body(), application: application.value?.id },
        key,
      );
      if (made.alert.channel === "webhook") secret.value = made.secret;
      else close();
    });
  const renew = () =>
    run(async () => {
      secret.value = (await change<NewRule>("POST", `${path}/rotate`, {}, key)).secret;
    });
  const remove = () =>
    run(async () => {
      await change("DELETE", path, undefined, key);
      close();
    });
  // What is typed before the rule is here would be lost.
  if (!isLoaded.value) {
    return (
      <section class="panel" aria-label="Rule" aria-busy={problem.value === ""}>
        <div class="skeleton" style={{ height: "120px" }} />
        <Problem text={problem.value} />
      </section>
    );
  }
  if (secret.value !== "") {
    return (
      <section class="panel" aria-label="Secret of the webhook">
        <p>With this secret, the receiver checks the signature of each message.</p>
        <Once secret={secret.value} what="Secret" close={close} />
      </section>
    );
  }
  const { metric } = draft.value;
  const unit = METRICS[metric]?.unit ?? "";
  return (
    <section class="panel form" aria-label="Rule">
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          saveRule();
        }}
      >
        <Text label="Name" value={draft.value.name} onInput={(name) => set({ name })} isRequired />
        <label>
          When
          <select value={metric} onChange={(event) => set({ metric: event.currentTarget.value })}>
            {Object.entries(METRICS).map(([name, { words }]) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
          </select>
        </label>
        {metric === "latency_percentile" && (
          <Text label="Percentile" value={draft.value.percentile} onInput={(percentile) => set({ percentile })} />
        )}
        {metric !== "no_data" && (
          <>
            <label>
              is
              <select
                value={draft.value.direction}
                onChange={(event) => set({ direction: event.currentTarget.value })}
              >
                <option value="above">above</option>
                <option value="below">below</option>
              </select>
            </label>
            <Text
              label={`Threshold ${unit}`}
              value={draft.value.threshold}
              onInput={(threshold) => set({ threshold })}
              isRequired
            />
          </>
        )}
        <label>
          over
          <select
            value={draft.value.windowS}
            onChange={(event) => set({ windowS: Number(event.currentTarget.value) })}
          >
            {WINDOWS_S.map(([seconds, words]) => (
              <option key={seconds} value={seconds}>
                {words}
              </option>
            ))}
            {WINDOWS_S.every(([seconds]) => seconds !== draft.value.windowS) && (
              <option value={draft.value.windowS}>{windowWords(draft.value.windowS)}</option>
            )}
          </select>
        </label>
        <Text
          label="At least this many requests"
          value={draft.value.minimumRequests}
          onInput={(minimumRequests) => set({ minimumRequests })}
        />
        <Text
          label="Webhook or mailto: address (optional)"
          value={draft.value.webhookUrl}
          onInput={(webhookUrl) => set({ webhookUrl })}
        />
        {isPagerDuty(draft.value.webhookUrl) && (
          <Text
            label={`PagerDuty's integration key${hasRoutingKey.value ? " (empty: as it is)" : ""}`}
            value={draft.value.routingKey}
            onInput={(routingKey) => set({ routingKey })}
            isRequired={!hasRoutingKey.value}
          />
        )}
        <p class="soft grow">
          Filters: {filterTexts(filters.value) || "none"}.{" "}
          {view.value.filters.some(({ kind }) => kind === "between") &&
            "A rule cannot have the page's spans of sizes and first bytes. "}
          <button
            type="button"
            class="quiet"
            onClick={() => {
              filters.value = filtersOfPage();
              preview.value = null;
            }}
          >
            Take those of the page
          </button>
        </p>
        <span class="actions">
          <button type="button" onClick={showPreview}>
            Would it have fired?
          </button>
          {ruleId !== null && (
            <>
              <button type="button" title="To the address that is saved" onClick={sendTest}>
                Send a test
              </button>
              {isSigned.value && (
                <button type="button" title="Replaces the one that signs the messages" onClick={renew}>
                  New secret
                </button>
              )}
              <Sure label="Delete" onSure={remove} />
            </>
          )}
          <button type="submit" class="primary">
            Save
          </button>
          <button type="button" onClick={() => showWith({ own: { tab: "rules" } })}>
            Cancel
          </button>
        </span>
      </form>
      <Problem text={problem.value} />
      {tested.value !== "" && (
        <p class="notice" role="status">
          {tested.value}
        </p>
      )}
      {preview.value !== null && <PreviewChart preview={preview.value} unit={unit} />}
    </section>
  );
}

const previewLines = new WeakMap<
  Preview,
  { times: number[]; lines: { name: string; token: string; values: (number | null)[] }[] }
>();

function PreviewChart({ preview, unit }: { preview: Preview; unit: string }) {
  let drawn = previewLines.get(preview);
  if (drawn === undefined) {
    drawn = {
      times: preview.points.map(([timeS]) => timeS),
      lines: [
        { name: "value", token: "--p95", values: preview.points.map(([, value]) => value) },
        { name: "threshold", token: "--bad", values: preview.points.map(() => preview.threshold) },
      ],
    };
    previewLines.set(preview, drawn);
  }
  const count = preview.firings.length;
  const words = count === 0 ? "It would not have fired" : `It would have fired ${formatExact(count)} times`;
  return (
    <>
      <p role="status">
        {words} in the last 7 days.{" "}
        {preview.firings
          .slice(-3)
          .map(({ at }) => formatTime(Date.parse(at) / 1000, zone.value))
          .join(", ")}
      </p>
      <Chart
        kind="lines"
        description={`The metric over 7 days with the threshold. ${words}.`}
        height={isPhone.value ? 120 : 160}
        times={drawn.times}
        lines={drawn.lines}
        stepS={300}
        isWhole
        format={unit === "" ? formatCount : unit === "%" ? formatShare : formatMilliseconds}
      />
    </>
  );
}

function formatShare(value: number): string {
  return `${value} %`;
}

function formatMilliseconds(value: number): string {
  return `${value} ms`;
}

function draftOf(rule: Rule): Draft {
  return {
    name: rule.name,
    metric: rule.metric,
    direction: rule.direction ?? "above",
    threshold: String(rule.threshold ?? ""),
    percentile: String(rule.percentile ?? 95),
    windowS: rule.windowS,
    minimumRequests: String(rule.minimumRequests),
    webhookUrl: rule.webhookUrl ?? "",
    routingKey: "",
  };
}

function bodyOf(draft: Draft, filters: RuleFilters): Record<string, unknown> {
  return {
    name: draft.name,
    metric: draft.metric,
    ...(draft.metric === "no_data" ? {} : { threshold: Number(draft.threshold), direction: draft.direction }),
    ...(draft.metric === "latency_percentile" ? { percentile: Number(draft.percentile) } : {}),
    ...filters,
    windowS: draft.windowS,
    minimumRequests: Number(draft.minimumRequests || 0),
    webhookUrl: draft.webhookUrl === "" ? null : draft.webhookUrl,
    ...routingKeyOf(draft),
  };
}

/** Return the member that a new key, or an address that takes none, changes. */
function routingKeyOf({ webhookUrl, routingKey }: Draft): { routingKey?: string | null } {
  if (!isPagerDuty(webhookUrl)) return { routingKey: null };
  return routingKey === "" ? {} : { routingKey };
}

function isPagerDuty(address: string): boolean {
  return /^https:\/\/events(\.eu)?\.pagerduty\.com\//i.test(address);
}
