/** What changed: which requests a change of the range is made of. */

import { onPage } from "../address.ts";
import type { Cause, Explanation } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { formatCount, formatMs, formatPercent } from "../format.ts";
import { Link, valueText } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { Table } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { binding } from "../shared.ts";
import { frame, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { attentionRows } from "./attention.ts";
import { useAttention } from "./attention_question.ts";
import { formatMetric, METRIC_LABELS, METRICS, type Metric, requestsOf, sliceText } from "./causes.ts";
import { FAILED, RouteLink, requestsBehind } from "./figures.tsx";

const MAX_S = 31 * 86_400;

/** A link that opens the explanation, or the explanation. */
export function Explain() {
  const { startS, endS } = frame.value;
  // The explanation compares with the period before, which a link may not show.
  if (2 * startS - endS < (binding.value?.notBefore ?? 0) || endS - startS > MAX_S) return null;
  const metric = METRICS.find((name) => name === view.value.own.explain);
  if (metric !== undefined) return <ExplainPanel metric={metric} />;
  return (
    <p class="explain">
      <Notice />
      <Link to={onPage(view.value, "overview", { explain: "errors" })}>Explain this change</Link>
    </p>
  );
}

/** Which route needs attention most, in a sentence. */
function Notice() {
  const data = useAttention().value.data;
  const worst = data === null ? undefined : attentionRows(data)[0];
  if (worst === undefined || worst.reason.tone !== "bad") return null;
  const { row } = worst;
  const route = row.key[0] ?? "";
  // The reason is what changed: its errors, or else its time.
  if (!worst.reason.text.startsWith("errors")) {
    return (
      <span class="change bad">
        <RouteLink route={route} /> is slower: p95 is {formatMs(row.p95Ms)} (<ChangeText change={worst.reason} />
        ).{" "}
      </span>
    );
  }
  return (
    <span class="change bad">
      {valueText("route", route)} fails{" "}
      <Link to={requestsBehind(row, ["route"], FAILED)}>
        {formatPercent(row.errorRate)} of {formatCount(row.requests)}
      </Link>{" "}
      requests (<ChangeText change={worst.reason} />
      ); p95 is {formatMs(row.p95Ms)}.{" "}
    </span>
  );
}

function ExplainPanel({ metric }: { metric: Metric }) {
  const against = view.value.compare === "week" && isUpToAWeek() ? "week" : "previous";
  const resource = useQuestion<Explanation>(question("v1/explain", { metric, against, limit: 8 }));
  const period = against === "week" ? "a week earlier" : "in the period before";
  return (
    <Panel
      title="What changed"
      resource={resource}
      height={120}
      isEmpty={(data) => data.explained === null}
      empty={<p class="state">The figure is the same as {period}, or there were no requests.</p>}
      controls={
        <span class="segments">
          {METRICS.map((name) => (
            <button
              key={name}
              type="button"
              aria-pressed={name === metric}
              onClick={() => showWith({ own: { explain: name } })}
            >
              {METRIC_LABELS[name]}
            </button>
          ))}
          <button type="button" class="quiet" onClick={() => showWith({ own: {} })}>
            Close
          </button>
        </span>
      }
      table={(data) => ({
        header: ["Requests with", "Now", "Before", "Part of the change"],
        rows: [...data.causes, ...data.consumers].map((cause) => [
          sliceText(cause),
          cause.now,
          cause.before,
          cause.contribution,
        ]),
      })}
    >
      {(data) => (
        <>
          <p>
            {METRIC_LABELS[metric]}: {formatMetric(metric, data.now)}, {formatMetric(metric, data.before)} {period}.{" "}
            {data.causes.length === 0
              ? "No route, status, version or source stands out."
              : `What follows makes ${formatPercent(100 * (data.explained ?? 0))} of the change.`}
          </p>
          {data.causes.length > 0 && <Causes caption="Causes" metric={metric} rows={data.causes} />}
          {data.consumers.length > 0 && (
            <>
              <h3>Consumers</h3>
              <Causes caption="Consumers with the largest parts" metric={metric} rows={data.consumers} />
            </>
          )}
        </>
      )}
    </Panel>
  );
}

function isUpToAWeek(): boolean {
  const { startS, endS } = frame.value;
  return endS - startS <= 604_800;
}

function Causes({ caption, metric, rows }: { caption: string; metric: Metric; rows: readonly Cause[] }) {
  const to = (cause: Cause) => ({
    ...onPage(view.value, "requests"),
    filters: requestsOf(view.value.filters, cause, metric),
  });
  return (
    <Table
      caption={caption}
      rows={rows}
      keyOf={sliceText}
      open={to}
      columns={[
        { title: "Requests with", cell: (cause) => <Link to={to(cause)}>{sliceText(cause)}</Link> },
        { title: "Now", isNumber: true, cell: (cause) => formatMetric(metric, cause.now) },
        { title: "Before", isNumber: true, cell: (cause) => formatMetric(metric, cause.before) },
        { title: "Part", isNumber: true, cell: (cause) => formatPercent(100 * cause.contribution) },
        { title: "Since", isMinor: true, cell: sinceText },
      ]}
    />
  );
}

function sinceText(cause: Cause): string {
  return cause.since === null ? "" : formatTime(Date.parse(cause.since) / 1000, zone.value);
}
