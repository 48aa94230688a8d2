/** What changed: which requests a change of the range is made of. */

import { onPage } from "../address.ts";
import type { Cause, Explanation } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { about, formatMs, formatPercent } from "../format.ts";
import { Link } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { Table } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { formatErrors, formatRequests } from "../sampling.ts";
import { binding } from "../shared.ts";
import { application, comparison, frame, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { type Attention, worstOf } from "./attention.ts";
import { useAttention } from "./attention_question.ts";
import { formatMetric, METRIC_LABELS, METRICS, type Metric, requestsOf, sliceText } from "./causes.ts";
import { FAILED, RouteLink, requestsBehind } from "./figures.tsx";

const COUNTS = { errors: formatErrors, requests: formatRequests };

const MAX_S = 31 * 86_400;

/** Which route stands out, with a link that opens the explanation; or the explanation. */
export function Explain() {
  const { startS, endS } = frame.value;
  const { data } = useAttention().value;
  // The explanation compares with the period before, which may be older than all events, and which a link may not show.
  const isYoung = Date.parse(application.value?.firstEventAt ?? "") / 1000 >= startS;
  const isHidden = 2 * startS - endS < (binding.value?.notBefore ?? 0);
  const canExplain = !isYoung && !isHidden && endS - startS <= MAX_S;
  const metric = METRICS.find((name) => name === view.value.own.explain);
  if (metric !== undefined && canExplain) return <ExplainPanel metric={metric} />;
  const worst = data === null ? undefined : worstOf(data);
  if (worst === undefined && !canExplain) return null;
  const explain = worst !== undefined && isSlower(worst) ? "meanMs" : "errors";
  return (
    <p class="explain">
      {worst !== undefined && <Notice worst={worst} />}
      {worst === undefined &&
        data?.rows.some(({ previous }) => previous?.requests) &&
        "No route is clearly worse than before. "}
      {canExplain && data !== null && (
        <Link to={onPage(view.value, "overview", { explain })}>
          {worst === undefined ? "Explain what changed" : "Explain this change"}
        </Link>
      )}
      {data === null && "\u00a0"}
    </p>
  );
}

/** Return whether a route became slower: else its errors are the reason. */
function isSlower({ reason }: Attention): boolean {
  return reason.text.startsWith("p95");
}

/** Which route needs attention most, in a sentence. */
function Notice({ worst }: { worst: Attention }) {
  const { row, reason } = worst;
  const route = row.key[0] ?? "";
  if (isSlower(worst)) {
    return (
      <span class="change bad">
        <RouteLink route={route} /> is slower: p95 is {formatMs(row.p95Ms)} (<ChangeText change={reason} />
        ).{" "}
      </span>
    );
  }
  return (
    <span class="change bad">
      <RouteLink route={route} /> fails{" "}
      <Link to={requestsBehind(row, ["route"], FAILED)}>
        {formatPercent(row.errorRate)} of {formatRequests(row.requests)}
      </Link>{" "}
      requests
      {reason.text !== "" && (
        <>
          {" "}
          (<ChangeText change={reason} />)
        </>
      )}
      ; p95 is {formatMs(row.p95Ms)}.{" "}
    </span>
  );
}

function ExplainPanel({ metric }: { metric: Metric }) {
  const against = comparison.value === "week" ? "week" : "previous";
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
            {METRIC_LABELS[metric]}: {formatMetric(metric, data.now, COUNTS)},{" "}
            {formatMetric(metric, data.before, COUNTS)} {period}.{" "}
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
        {
          title: "Now",
          isNumber: true,
          cell: (cause) => <Link to={to(cause)}>{formatMetric(metric, cause.now, COUNTS)}</Link>,
        },
        { title: "Before", isNumber: true, cell: (cause) => formatMetric(metric, cause.before, COUNTS) },
        { title: "Part", isNumber: true, cell: (cause) => formatPercent(100 * cause.contribution) },
        { title: "Since", isMinor: true, cell: sinceText },
      ]}
    />
  );
}

function sinceText(cause: Cause): string {
  return cause.since === null ? "" : about(cause.since) + formatTime(Date.parse(cause.since) / 1000, zone.value);
}
