/** Answers of timeseries made ready for charts, for tables, and for the small lines of tiles. */

import type { Timeseries } from "../api/answers.ts";
import { granularity, type QuestionOptions, timeseries } from "../api/questions.ts";
import { align } from "../buckets.ts";
import { STATUS_TOKENS } from "../charts/colours.ts";
import type { Line } from "../charts/lines.ts";
import type { Filter } from "../filters.ts";
import type { PanelTable } from "../parts/Panel.tsx";
import type { Step } from "../ranges.ts";
import { zone } from "../state.ts";
import { formatTime } from "../zones.ts";

/** The classes of statuses in the order of the stack: failures at the bottom. */
export const CLASSES = ["5xx", "4xx", "3xx", "2xx"];

const PERCENTILES = ["percentile_50", "percentile_95", "percentile_99"];
const PERCENTILE_NAMES = ["p50", "p95", "p99"];

/** Return the question for requests over time, by class of the status, and for those of the other period. */
export function requestsOverTime(step: Step, also: readonly Filter[]): string | null {
  return timeseries({ ...granularity(step), group: "status_class", fill: "zero" }, { also, compares: true });
}

/** Return the question for percentiles of the response time over time. */
export function percentilesOverTime(step: Step, options: QuestionOptions): string | null {
  return timeseries({ ...granularity(step), aggregation: PERCENTILES, fill: "null" }, options);
}

interface Drawn {
  times: number[];
  lines: Line[];
}

const linesByAnswer = new WeakMap<object, Drawn>();

/** Return the groups of an answer of counts as lines, in the order of `names`; absent ones are left out. All of the
 * other period is the last line.
 *
 * A chart is drawn again where it gets other lines, so the same answer gives the same ones.
 */
export function linesOf(
  data: Timeseries,
  names: readonly string[],
  token: (name: string, index: number) => string,
  label?: (name: string) => string,
): Drawn {
  return drawnOf(data, () => withBefore(linesAnew(data, names, token, label), data));
}

/** Add the line of all that was counted in the other period, where the answer has one. */
export function withBefore({ times, lines }: Drawn, { previous }: Timeseries): Drawn {
  if (previous === undefined) return { times, lines };
  const groups = [...Object.values(previous.groups), previous.rest ?? []];
  const all = times.map((_, index) => groups.reduce((sum, points) => sum + (points[index]?.[1] ?? 0), 0));
  return { times, lines: [...lines, beforeLine("all before", all)] };
}

/** Return the lines that were made of an answer before, or new ones. */
function drawnOf(data: Timeseries, make: () => Drawn): Drawn {
  const known = linesByAnswer.get(data);
  if (known !== undefined) return known;
  const lines = make();
  linesByAnswer.set(data, lines);
  return lines;
}

function linesAnew(
  data: Timeseries,
  names: readonly string[],
  token: (name: string, index: number) => string,
  label: (name: string) => string = (name) => name,
): Drawn {
  const groups: Record<string, [number, number | null][]> = {};
  for (const name of names) {
    const points = data.groups[name];
    if (points !== undefined) groups[name] = points.map(([timeS, value]) => [timeS, value ?? null]);
  }
  const { times, series } = align(groups, 0);
  return {
    times,
    lines: series.map(({ name, values }, index) => ({ name: label(name), token: token(name, index), values })),
  };
}

/** Return the requests by class of the status as lines, and all requests of the other period. */
export function requestLines(data: Timeseries): Drawn {
  return linesOf(data, CLASSES, (name) => STATUS_TOKENS[name] ?? "--other");
}

/** Return the requests of an answer as a table. */
export function requestTable(data: Timeseries): PanelTable {
  return tableFrom(requestLines(data));
}

/** Return the percentiles of an answer as lines, and the other period's p95. */
export function percentileLines(data: Timeseries): Drawn {
  return drawnOf(data, () => {
    const points = Object.values(data.groups)[0] ?? [];
    const times = points.map(([timeS]) => timeS);
    const lines: Line[] = PERCENTILE_NAMES.map((name, index) => ({
      name,
      token: `--${name}`,
      values: points.map((point) => point[index + 1] ?? null),
    }));
    const before = Object.values(data.previous?.groups ?? {})[0];
    if (before === undefined) return { times, lines };
    const p95 = times.map((_, index) => before[index]?.[2] ?? null);
    return { times, lines: [...lines, beforeLine("p95 before", p95)] };
  });
}

function beforeLine(name: string, values: readonly (number | null)[]): Line {
  return { name, token: "--soft", isOther: true, values };
}

/** Return lines over time as a table. */
export function tableFrom({ times, lines }: Readonly<Drawn>, unit = ""): PanelTable {
  return {
    header: [`Time (${zone.value})`, ...lines.map(({ name }) => `${name}${unit}`)],
    rows: times.map((timeS, index) => [
      formatTime(timeS, zone.value, true),
      ...lines.map(({ values }) => values[index] ?? null),
    ]),
  };
}

/** Return the figures of several groups as a table. */
export function tableOf(data: Timeseries, names: readonly string[], label?: (name: string) => string): PanelTable {
  return tableFrom(
    withBefore(
      linesAnew(data, names, () => "--other", label),
      data,
    ),
  );
}

/** Return the percentiles of an answer as a table. */
export function percentileTable(data: Timeseries): PanelTable {
  return tableFrom(percentileLines(data), " (µs)");
}

/** Return whether no request is in any group. */
export function isEmpty(data: Timeseries): boolean {
  return Object.values(data.groups).every((points) => points.every((point) => !point[1]));
}

/** Return whether no bucket has a measured time. */
export function hasNoPoint(data: Timeseries): boolean {
  return Object.values(data.groups).every((points) =>
    points.every(([, ...values]) => values.every((v) => v === null)),
  );
}

/** The name of the groups that an answer adds up. */
export const OTHERS = "all others";
const withRests = new WeakMap<Timeseries, Timeseries>();

/** Return the answer with the omitted groups as one more group. */
export function withRest(data: Timeseries): Timeseries {
  if (data.rest === undefined || (data.omitted_groups ?? 0) === 0) return data;
  const known = withRests.get(data);
  if (known !== undefined) return known;
  const whole = { ...data, groups: { ...data.groups, [OTHERS]: data.rest } };
  withRests.set(data, whole);
  return whole;
}
