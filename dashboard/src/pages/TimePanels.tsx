/** Requests and latency over time, for the whole page or under further filters. */

import type { Timeseries, Versions } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import type { Marker } from "../charts/plot.ts";
import type { Filter } from "../filters.ts";
import { formatDuration, formatPercent, visibleText } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { useChartMenu } from "../parts/chart_menu.tsx";
import { Panel } from "../parts/Panel.tsx";
import { stepSeconds } from "../ranges.ts";
import { exactRequests, formatRequests } from "../sampling.ts";
import { isShared } from "../shared.ts";
import { application, frame } from "../state.ts";
import {
  hasNoPoint,
  isEmpty,
  percentileLines,
  percentilesOverTime,
  percentileTable,
  requestLines,
  requestsOverTime,
  requestTable,
} from "./series.ts";
import { requestTotals } from "./trends.ts";

/** What a panel takes to show a part of the requests: one route, one consumer. */
export interface Narrowed {
  also?: readonly Filter[];
}

export const NO_FILTERS: readonly Filter[] = [];

/** Requests over time, by class of the status, all of the other period dotted. */
export function RequestsPanel({ also = NO_FILTERS }: Narrowed) {
  const { step: countStep, menu, coarsen } = useChartMenu(frame.value.countStep);
  const resource = useQuestion<Timeseries>(requestsOverTime(countStep, also));
  const markers = useDeploys();
  return (
    <Panel
      title="Requests by status"
      coarsen={coarsen}
      resource={resource}
      isEmpty={isEmpty}
      table={requestTable}
      controls={menu}
    >
      {(data) => {
        const { times, lines } = requestLines(data);
        return (
          <>
            <Chart
              kind="bars"
              description={requestWords(data)}
              times={times}
              lines={lines}
              stepS={stepSeconds(countStep)}
              format={formatRequests}
              markers={markers}
            />
            {application.value?.recorded.versions === false && !isShared.value && (
              <p class="soft foot">
                <span>
                  Give the middleware a <code>version=</code> to see deploys here.
                </span>
              </p>
            )}
          </>
        );
      }}
    </Panel>
  );
}

/** Say what the chart of requests shows. */
function requestWords(data: Timeseries): string {
  const { requests, errorRate } = requestTotals(data);
  return `Requests by status, ${exactRequests(requests)} in all, ${formatPercent(errorRate)} errors`;
}

/** Percentiles of the response time over time, the other period's p95 dotted. */
export function LatencyPanel({ also = NO_FILTERS }: Narrowed) {
  const { step: percentileStep, isLog, menu, coarsen } = useChartMenu(frame.value.percentileStep, { hasLog: true });
  const resource = useQuestion<Timeseries>(percentilesOverTime(percentileStep, { compares: true, also }));
  const markers = useDeploys();
  return (
    <Panel
      title="Latency"
      coarsen={coarsen}
      resource={resource}
      isEmpty={hasNoPoint}
      table={percentileTable}
      controls={menu}
    >
      {(data) => {
        const { times, lines } = percentileLines(data);
        return (
          <Chart
            kind="lines"
            description="Response time, percentiles 50, 95 and 99"
            times={times}
            lines={lines}
            stepS={stepSeconds(percentileStep)}
            format={formatDuration}
            markers={markers}
            isLog={isLog}
          />
        );
      }}
    </Panel>
  );
}

/** Return the deploys of the range as markers of charts. */
export function useDeploys(): readonly Marker[] {
  const resource = useQuestion<Versions>(question("v1/versions", {}, { isUnfiltered: true }));
  const versions = resource.value.data?.versions;
  return versions === undefined ? NO_MARKERS : markersOf(versions);
}

const NO_MARKERS: readonly Marker[] = [];
const markersByVersions = new WeakMap<object, readonly Marker[]>();

function markersOf(versions: Versions["versions"]): readonly Marker[] {
  const known = markersByVersions.get(versions);
  if (known !== undefined) return known;
  const markers = versions.map(({ version, firstSeen, isReturn }) => ({
    timeS: Date.parse(firstSeen) / 1000,
    label: visibleText(isReturn ? `↩ ${version}` : version, 40),
  }));
  markersByVersions.set(versions, markers);
  return markers;
}
