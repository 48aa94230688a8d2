/** Ranges of time, and the steps that charts count by. Pure; times are seconds since the epoch, UTC. */

/** A range with a name: the last `lengthS` seconds, or everything. */
export interface NamedRange {
  name: string;
  label: string;
  /** null: since the first event. */
  lengthS: number | null;
  countStep: Step;
  percentileStep: Step;
  /** null: the page does not refresh by itself. */
  refreshS: number | null;
}

/** A number of seconds, or a bucket of the calendar, whose length differs with the clocks. */
export type Step = number | "day" | "week" | "month";

export const RANGES: readonly NamedRange[] = [
  { name: "15m", label: "15 minutes", lengthS: 900, countStep: 15, percentileStep: 15, refreshS: 10 },
  { name: "1h", label: "1 hour", lengthS: 3600, countStep: 60, percentileStep: 60, refreshS: 10 },
  { name: "6h", label: "6 hours", lengthS: 21_600, countStep: 300, percentileStep: 300, refreshS: 30 },
  { name: "24h", label: "24 hours", lengthS: 86_400, countStep: 900, percentileStep: 3600, refreshS: 60 },
  { name: "7d", label: "7 days", lengthS: 604_800, countStep: 3600, percentileStep: 3600, refreshS: null },
  { name: "30d", label: "30 days", lengthS: 2_592_000, countStep: 21_600, percentileStep: 21_600, refreshS: null },
  { name: "90d", label: "90 days", lengthS: 7_776_000, countStep: "day", percentileStep: "day", refreshS: null },
  { name: "1y", label: "1 year", lengthS: 31_536_000, countStep: "week", percentileStep: "week", refreshS: null },
  { name: "all", label: "Everything", lengthS: null, countStep: "week", percentileStep: "week", refreshS: null },
];

export const DEFAULT_RANGE = "24h";

/** The most points of one series that a chart asks for. */
export const MAX_POINTS = 160;

const STEPS: readonly Step[] = [1, 5, 15, 60, 300, 900, 3600, 21_600, "day", "week", "month"];

/** Return the seconds of a step; of a month, its longest. */
export function stepSeconds(step: Step): number {
  if (typeof step === "number") return step;
  return { day: 86_400, week: 604_800, month: 2_678_400 }[step];
}

/** Return the range with this name, or undefined. */
export function rangeNamed(name: string): NamedRange | undefined {
  return RANGES.find((range) => range.name === name);
}

/** Return the steps for a span: those of the shortest named range that is as long, or coarser ones for long spans. */
export function stepsFor(spanS: number): { countStep: Step; percentileStep: Step } {
  const range = RANGES.find(({ lengthS }) => lengthS !== null && spanS <= lengthS) ?? RANGES[RANGES.length - 1];
  if (range === undefined) throw new RangeError("there are no ranges");
  return {
    countStep: fitting(range.countStep, spanS),
    percentileStep: fitting(range.percentileStep, spanS),
  };
}

/** Return the next coarser step, or the same where there is none. */
export function coarser(step: Step): Step {
  return STEPS[Math.min(STEPS.indexOf(step) + 1, STEPS.length - 1)] ?? step;
}

/** Return the next finer step that keeps a span within `maxPoints`, or the same. */
export function finer(step: Step, spanS: number, maxPoints = 2000): Step {
  const next = STEPS[STEPS.indexOf(step) - 1];
  return next !== undefined && spanS / stepSeconds(next) <= maxPoints ? next : step;
}

/** Return the end that everybody who looks now asks for: whole 10 s below a day, else whole minutes.
 *
 * @param firstS when the application had its first event: for an hour after it, ends are whole seconds, so it shows at once
 */
export function roundedEnd(nowS: number, lengthS: number | null, firstS: number | null = null): number {
  const isNew = firstS !== null && nowS - firstS < 3600;
  const unitS = isNew ? 1 : lengthS !== null && lengthS < 86_400 ? 10 : 60;
  return Math.floor(nowS / unitS) * unitS;
}

function fitting(step: Step, spanS: number): Step {
  let result = step;
  while (spanS / stepSeconds(result) > MAX_POINTS && result !== "month") result = coarser(result);
  while (spanS / stepSeconds(result) < 40 && STEPS.indexOf(result) > 0) {
    const next = STEPS[STEPS.indexOf(result) - 1];
    if (next === undefined || spanS / stepSeconds(next) > MAX_POINTS) break;
    result = next;
  }
  return result;
}
