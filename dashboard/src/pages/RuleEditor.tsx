/** The editor of an alert rule: a sentence to fill in, and whether the rule would have fired in the last days. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { OneRule, Preview, Rule, TestedRule } from "../api/answers.ts";
import { ApiError, ask, change } from "../api/client.ts";
import { formatCount, formatExact } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { Problem, Text, useRefusal } from "../parts/Form.tsx";
import { isPhone } from "../parts/phone.ts";
import { adminKey } from "../session.ts";
import { application, refresh, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";

export const METRICS: Record<string, { words: string; unit: string }> = {
  error_rate: { words: "error rate", unit: "%" },
  latency_mean: { words: "mean latency", unit: "ms" },
  latency_percentile: { words: "latency percentile", unit: "ms" },
  request_count: { words: "requests", unit: "" },
  limit_utilization: { words: "use of limits", unit: "%" },
  no_data: { words: "no request", unit: "" },
};

const WINDOWS_S: [number, string][] = [
  [60, "1 min"],
  [300, "5 min"],
  [900, "15 min"],
  [3600, "1 h"],
  [86_400, "1 day"],
];

/** Return what a rule watches, in words. */
export function thresholdWords(rule: Rule): string {
  const metric = METRICS[rule.metric] ?? { words: rule.metric, unit: "" };
  const name = rule.percentile === null ? metric.words : `p${rule.percentile}`;
  if (rule.threshold === null) return `no request in ${windowWords(rule.windowS)}`;
  return `${name} ${rule.direction === "below" ? "<" : ">"} ${rule.threshold} ${metric.unit} over ${windowWords(rule.windowS)}`;
}

/** Return what a rule that fires measured, against its threshold: `error rate 29 % > 5 %`. */
export function valueWords(rule: Rule): string {
  if (rule.threshold === null || rule.state.lastValue === null) return thresholdWords(rule);
  const metric = METRICS[rule.metric] ?? { words: rule.metric, unit: "" };
  const name = rule.percentile === null ? metric.words : `p${rule.percentile}`;
  const sign = rule.direction === "below" ? "<" : ">";
  return `${name} ${rule.state.lastValue} ${metric.unit} ${sign} ${rule.threshold} ${metric.unit}`;
}

/** Return what became of a test of a rule's webhook. */
export function testWords(answer: Partial<TestedRule>): string {
  return answer.delivered ? `The test arrived (${answer.status}).` : `The test failed: ${answer.error}`;
}

interface Draft {
  name: string;
  metric: string;
  direction: string;
  threshold: string;
  percentile: string;
  windowS: number;
  minimumRequests: string;
  webhookUrl: string;
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
  });
  const filters = useSignal<{ include: string[]; exclude: string[] }>(filtersOfPage());
  const preview = useSignal<Preview | null>(null);
  const tested = useSignal("");
  const { problem, run } = useRefusal();
  useEffect(() => {
    if (ruleId === null) return;
    const giveUp = new AbortController();
    ask<OneRule>(`api/alerts/${encodeURIComponent(ruleId)}`, giveUp.signal).then(
      ({ alert }) => {
        draft.value = draftOf(alert);
        filters.value = { include: alert.include, exclude: alert.exclude };
      },
      (error: unknown) => {
        if (error instanceof ApiError) problem.value = error.message;
      },
    );
    return () => giveUp.abort();
  }, [ruleId]);
  const set = (parts: Partial<Draft>) => {
    draft.value = { ...draft.value, ...parts };
    preview.value = null;
  };
  const body = () => bodyOf(draft.value, filters.value);
  const key = adminKey.value ?? undefined;
  const showPreview = () =>
    run(async () => {
      preview.value = await change<Preview>(
        "POST",
        "api/alerts/preview",
        { ...body(), application: application.value?.id, days: 7 },
        key,
      );
    });
  const sendTest = () =>
    run(async () => {
      const address = `api/alerts/${encodeURIComponent(ruleId ?? "")}/test`;
      tested.value = testWords(await change<TestedRule>("POST", address, {}, key));
    });
  const saveRule = () =>
    run(async () => {
      if (ruleId === null) await change("POST", "api/alerts", { ...body(), application: application.value?.id }, key);
      else await change("PATCH", `api/alerts/${encodeURIComponent(ruleId)}`, body(), key);
      refresh();
      showWith({ own: {} });
    });
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
          label="Webhook or mailto: address"
          value={draft.value.webhookUrl}
          onInput={(webhookUrl) => set({ webhookUrl })}
        />
        <p class="soft grow">
          Filters:{" "}
          {[...filters.value.include, ...filters.value.exclude.map((text) => `not ${text}`)].join(", ") || "none"}.{" "}
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
            <button type="button" title="To the address that is saved" onClick={sendTest}>
              Send a test
            </button>
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
        isUnfinished={false}
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

function filtersOfPage(): { include: string[]; exclude: string[] } {
  const texts = (kind: "is" | "not") =>
    view.value.filters.filter((filter) => filter.kind === kind).map(({ field, value }) => `${field}:${value}`);
  return { include: texts("is"), exclude: texts("not") };
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
  };
}

function bodyOf(draft: Draft, filters: { include: string[]; exclude: string[] }): Record<string, unknown> {
  return {
    name: draft.name,
    metric: draft.metric,
    ...(draft.metric === "no_data" ? {} : { threshold: Number(draft.threshold), direction: draft.direction }),
    ...(draft.metric === "latency_percentile" ? { percentile: Number(draft.percentile) } : {}),
    ...filters,
    windowS: draft.windowS,
    minimumRequests: Number(draft.minimumRequests || 0),
    ...(draft.webhookUrl === "" ? {} : { webhookUrl: draft.webhookUrl }),
  };
}

function windowWords(windowS: number): string {
  return WINDOWS_S.find(([seconds]) => seconds === windowS)?.[1] ?? `${Math.round(windowS / 60)} min`;
}
