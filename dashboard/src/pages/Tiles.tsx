/** The tiles of the totals, for the whole page or under further filters. */

import type { ComponentChildren } from "preact";
import { onPage } from "../address.ts";
import type { Breakdown, Summary, Timeseries } from "../api/answers.ts";
import { otherSpan, question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { isUnfinished } from "../buckets.ts";
import { changeInPoints, changeOf } from "../compare.ts";
import type { Filter } from "../filters.ts";
import { formatCount, formatExact, formatMs, formatPercent, margin } from "../format.ts";
import { Link } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { Spark } from "../parts/Spark.tsx";
import { Tile } from "../parts/Tile.tsx";
import { type Step, stepSeconds } from "../ranges.ts";
import { exactRequests, formatErrors, formatRequestRate, formatRequests, samplingWords } from "../sampling.ts";
import { binding } from "../shared.ts";
import { application, frame, view } from "../state.ts";
import { activeConsumers } from "./ConsumerCharts.tsx";
import { restricted } from "./figures.tsx";
import { percentilesOverTime, requestsOverTime } from "./series.ts";
import { type Narrowed, NO_FILTERS } from "./TimePanels.tsx";
import { requestTrends, thinned, trendOf } from "./trends.ts";

/** Show the tiles. */
export function Tiles({ also = NO_FILTERS }: Narrowed) {
  const resource = useQuestion<Summary>(question("v1/summary", {}, { also }), true);
  // The other period is a question of its own, so that the figures do not wait for it.
  const span = otherSpan();
  const other = useQuestion<Summary>(span === null ? null : question("v1/summary", {}, { also, span })).value;
  const trends = useTrends(also);
  return (
    <Panel title="Totals" class="tiles" resource={resource} height={102}>
      {(summary) => {
        const before = other.isCurrent && resource.value.isCurrent ? (other.data ?? undefined) : undefined;
        const requestsBefore = before?.requests ?? 0;
        const compare = before !== undefined;
        const here = { ...view.value, filters: [...view.value.filters, ...also] };
        return (
          <dl class="tile-row">
            <Tile
              label="Requests"
              value={formatRequests(summary.requests)}
              exact={[exactRequests(summary.requests), samplingWords()].filter(Boolean).join(". ")}
              change={compare ? changeOf(summary.requests, before.requests, requestsBefore, "none") : null}
              to={onPage(here, "requests")}
              trend={trends.requests}
            />
            <Tile
              label="Error rate"
              value={formatPercent(summary.requests === 0 ? null : summary.errorRate)}
              exact={`${formatErrors(summary.errors)} errors: ${formatExact(summary.clientErrors)} 4xx, ${formatExact(summary.serverErrors)} 5xx`}
              change={compare ? changeInPoints(summary.errorRate, before.errorRate, requestsBefore, "lower") : null}
              to={onPage(here, "errors")}
              trend={trends.errorRates}
            />
            <Tile
              label={`p95${margin(summary.estimated)}`}
              value={formatMs(summary.p95Ms)}
              exact={`p50 ${formatMs(summary.p50Ms)}, p99 ${formatMs(summary.p99Ms)}, longest ${formatMs(summary.maxMs)}`}
              change={compare ? changeOf(summary.p95Ms, before.p95Ms, requestsBefore, "lower", formatMs) : null}
              to={onPage(here, "latency")}
              trend={trends.p95}
            />
            <Tile
              label="Requests per minute"
              value={formatRequestRate(summary.requestsPerMinute, summary.requests)}
              to={onPage(here, "requests")}
              note={`peak ${formatRequests(summary.peakRequestsPerMinute)}${useOfLimit(summary.peakRequestsPerMinute)}`}
              trend={trends.requests}
            />
            {!binding.value?.oneConsumer && !also.some(({ field }) => field === "consumer_id") && (
              <Tile
                label="Consumers"
                value={formatCount(summary.consumers)}
                change={
                  compare && requestsBefore > 0
                    ? changeOf(summary.consumers, before.consumers, requestsBefore, "none")
                    : null
                }
                to={onPage(here, "consumers")}
                note={also.length === 0 ? <NewAndSilent isLast={trends.areAnswered} /> : undefined}
                trend={also.length === 0 ? <ConsumerTrend isLast={trends.areAnswered} /> : undefined}
              />
            )}
          </dl>
        );
      }}
    </Panel>
  );
}

/** Return how much of the application's limit a minute's requests take, or nothing where it has none. */
function useOfLimit(perMinute: number): string {
  const limit = application.value?.limits?.requestsPerMinute ?? null;
  return limit === null ? "" : `, ${formatPercent((100 * perMinute) / limit)} of the limit`;
}

/** The most bars of a tile's trend. */
const MAX_BARS = 48;

interface Trends extends Record<"requests" | "errorRates" | "p95", ComponentChildren> {
  areAnswered: boolean;
}

/** Return what the tiles show over time: the answers of the panels below, which no question asks twice. */
function useTrends(also: readonly Filter[]): Trends {
  const { countStep, percentileStep, endS } = frame.value;
  const counts = useQuestion<Timeseries>(requestsOverTime(countStep, also)).value.data;
  const percentiles = useQuestion<Timeseries>(percentilesOverTime(percentileStep, { compares: true, also })).value
    .data;
  const isOpen = (data: Timeseries, step: Step) => {
    const times = (Object.values(data.groups)[0] ?? []).map(([timeS]) => timeS);
    return isUnfinished(times, stepSeconds(step), endS, Date.now() / 1000);
  };
  const { requests, errorRates } =
    counts === null ? { requests: [], errorRates: [] } : requestTrends(counts, isOpen(counts, countStep));
  const p95 = percentiles === null ? [] : trendOf(percentiles, 2, isOpen(percentiles, percentileStep));
  return {
    areAnswered: counts !== null && percentiles !== null,
    requests: <Trend values={requests} label="Requests over the range" />,
    errorRates: <Trend values={errorRates} label="Error rate over the range" />,
    p95: <Trend values={p95} label="p95 over the range" />,
  };
}

function Trend({ values, label }: { values: readonly number[]; label: string }) {
  return values.length < 2 ? null : <Spark values={thinned(values, MAX_BARS)} label={label} />;
}

/** How many consumers are new in the range, and how many are silent; each leads to them.
 *
 * @param isLast whether what is looked at first is answered: these questions take no time from it
 */
function NewAndSilent({ isLast }: { isLast: boolean }) {
  const answers = {
    new: useQuestion<Breakdown>(isLast ? restricted("new") : null).value.data,
    silent: useQuestion<Breakdown>(isLast ? restricted("silent") : null).value.data,
  };
  const parts = (["new", "silent"] as const).flatMap((name) => {
    const total = answers[name]?.pagination.total ?? 0;
    return total === 0 ? [] : [{ name, total }];
  });
  return (
    <>
      {parts.map(({ name, total }, index) => (
        <span key={name} title={name === "new" ? "First seen in this range" : "For longer than is usual for them"}>
          {index === 0 ? "" : ", "}
          <Link to={onPage(view.value, "consumers", { tab: name })}>
            {formatCount(total)} {name}
          </Link>
        </span>
      ))}
    </>
  );
}

function ConsumerTrend({ isLast }: { isLast: boolean }) {
  const { endS, percentileStep } = frame.value;
  const data = useQuestion<Timeseries>(isLast ? activeConsumers(percentileStep) : null).value.data;
  if (data === null) return null;
  const times = (Object.values(data.groups)[0] ?? []).map(([timeS]) => timeS);
  const isOpen = isUnfinished(times, stepSeconds(percentileStep), endS, Date.now() / 1000);
  return <Trend values={trendOf(data, 1, isOpen)} label="Active consumers over the range" />;
}
