/** Consumers over time: how many, how many of them new, and which have the most requests. */

import type { Breakdown, Timeseries } from "../api/answers.ts";
import { granularity, type QuestionOptions, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { seriesToken } from "../charts/colours.ts";
import type { Line } from "../charts/lines.ts";
import { formatCount, formatExact } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { useChartMenu } from "../parts/chart_menu.tsx";
import { valueText } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { type Step, stepSeconds } from "../ranges.ts";
import { formatRequests } from "../sampling.ts";
import { sees } from "../shared.ts";
import { frame } from "../state.ts";
import { NAMED } from "./figures.tsx";
import { newAndReturning } from "./new_consumers.ts";
import { isEmpty, linesOf, OTHERS, tableFrom, tableOf, withBefore, withRest } from "./series.ts";
import { useDeploys } from "./TimePanels.tsx";

const HOUR_S = 3600;
/** The most new consumers that are asked for by name. */
const MAX_NEW = 1000;

/** Show how many consumers had requests, and how many of them were new. */
export function ActiveConsumers() {
  const { percentileStep } = frame.value;
  const markers = useDeploys();
  // Rollups know consumers, and when each was first seen, by the hour.
  const step: Step = stepSeconds(percentileStep) < HOUR_S ? HOUR_S : percentileStep;
  const resource = useQuestion<Timeseries>(activeConsumers(step, { compares: true }));
  const fresh = useQuestion<Breakdown>(
    question(
      "v1/breakdown",
      { by: "consumer_id", having: "new", measures: "firstSeen", limit: MAX_NEW },
      { also: NAMED },
    ),
  ).value.data;
  return (
    <Panel
      title="Active consumers"
      resource={resource}
      isEmpty={isEmpty}
      table={(data) => tableFrom(drawn(data, fresh))}
    >
      {(data) => {
        const { times, lines } = drawn(data, fresh);
        const counts = (Object.values(data.groups)[0] ?? []).map(([, count]) => count ?? 0);
        return (
          <Chart
            kind="bars"
            description={`Active consumers over time, at most ${formatExact(Math.max(0, ...counts))} at once; ${formatExact(fresh?.pagination.total ?? 0)} new in all`}
            times={times}
            lines={lines}
            stepS={stepSeconds(step)}
            format={formatCount}
            markers={markers}
          />
        );
      }}
    </Panel>
  );
}

/** Return the question for distinct consumers over time; null where a link hides who they are. */
export function activeConsumers(step: Step, options: QuestionOptions = {}): string | null {
  if (!sees("consumer_id")) return null;
  return timeseries({ ...granularity(step), aggregation: "consumers", fill: "zero" }, options);
}

const drawnByAnswer = new WeakMap<Timeseries, { fresh: Breakdown | null; times: number[]; lines: Line[] }>();

function drawn(data: Timeseries, fresh: Breakdown | null): { times: number[]; lines: Line[] } {
  const known = drawnByAnswer.get(data);
  if (known !== undefined && known.fresh === fresh) return known;
  const firstSeen = (fresh?.rows ?? []).flatMap((row) =>
    row.firstSeen === undefined || row.firstSeen === null ? [] : [Date.parse(row.firstSeen) / 1000],
  );
  const { times, fresh: first, returning } = newAndReturning(Object.values(data.groups)[0] ?? [], firstSeen);
  const lines = [
    { name: "returning", token: "--p50", values: returning },
    { name: "new", token: "--p99", values: first },
  ];
  const made = { fresh, ...withBefore({ times, lines }, data) };
  drawnByAnswer.set(data, made);
  return made;
}

/** Show the requests of the largest consumers. */
export function TopConsumers() {
  const { step: countStep, menu, coarsen } = useChartMenu(frame.value.countStep);
  const markers = useDeploys();
  const resource = useQuestion<Timeseries>(
    timeseries(
      { ...granularity(countStep), group: "consumer_id", limit: 6, rest: 1, fill: "zero" },
      { compares: true },
    ),
  );
  return (
    <Panel
      title="Requests by consumer"
      resource={resource}
      controls={menu}
      coarsen={coarsen}
      isEmpty={isEmpty}
      table={(data) => tableOf(withRest(data), Object.keys(withRest(data).groups))}
    >
      {(data) => {
        const whole = withRest(data);
        const { times, lines } = linesOf(
          whole,
          Object.keys(whole.groups),
          (name, index) => (name === OTHERS ? "--other" : seriesToken(index)),
          (name) => valueText("consumer_id", name),
        );
        return (
          <Chart
            kind="bars"
            description={`Requests of the ${Object.keys(data.groups).length} largest consumers`}
            times={times}
            lines={lines}
            stepS={stepSeconds(countStep)}
            format={formatRequests}
            markers={markers}
          />
        );
      }}
    </Panel>
  );
}
