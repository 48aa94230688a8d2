/** Points of a timeseries made ready for a chart: aligned, filled, with the unfinished bucket apart. Pure. */

export type Point = readonly [timeS: number, value: number | null];

/** Series on one time axis, as charts take them. */
export interface Aligned {
  times: number[];
  series: { name: string; values: (number | null)[] }[];
}

/** Return several groups of points on one axis; a group without a point at a time gets `missing` there. */
export function align(groups: Readonly<Record<string, readonly Point[]>>, missing: number | null): Aligned {
  const times = [...new Set(Object.values(groups).flatMap((points) => points.map(([timeS]) => timeS)))].sort(
    (a, b) => a - b,
  );
  const indexes = new Map(times.map((timeS, index) => [timeS, index]));
  const series = Object.entries(groups).map(([name, points]) => {
    const values: (number | null)[] = new Array(times.length).fill(missing);
    for (const [timeS, value] of points) {
      const index = indexes.get(timeS);
      if (index !== undefined) values[index] = value;
    }
    return { name, values };
  });
  return { times, series };
}

/** Return when the buckets of a span begin; they are counted from the epoch, so the first may begin before the span. */
export function bucketTimes({ startS, endS }: { startS: number; endS: number }, stepS: number): number[] {
  const firstS = Math.floor(startS / stepS) * stepS;
  return Array.from({ length: Math.max(0, Math.ceil((endS - firstS) / stepS)) }, (_, n) => firstS + n * stepS);
}

/** Return whether the last bucket ends after the range's end: its number is only "so far". */
export function isUnfinished(times: readonly number[], stepS: number, endS: number, nowS: number): boolean {
  const last = times.at(-1);
  return last !== undefined && last + stepS > Math.min(endS, nowS);
}

/** Return each series added to those before it: the tops of a stack, in the order of the series. */
export function stacked(series: readonly (readonly (number | null)[])[]): number[][] {
  const tops: number[][] = [];
  for (const values of series) {
    const below = tops.at(-1);
    tops.push(values.map((value, index) => (value ?? 0) + (below?.[index] ?? 0)));
  }
  return tops;
}

/** Return the sum of the values that are there. */
export function total(values: readonly (number | null)[]): number {
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

/** The highest point of a chart. */
export interface Peak {
  index: number;
  value: number;
  /** The series that has it; null: all together. */
  name: string | null;
}

/** Return the highest point of the series, or of their sum where they are stacked; null where no value is there. */
export function peakOf(
  series: readonly { name: string; values: readonly (number | null)[] }[],
  isStacked: boolean,
): Peak | null {
  const tops = stacked(series.map(({ values }) => values)).at(-1) ?? [];
  const searched: { name: string | null; values: readonly (number | null)[] }[] = isStacked
    ? [{ name: null, values: tops }]
    : [...series];
  let peak: Peak | null = null;
  for (const { name, values } of searched) {
    for (const [index, value] of values.entries()) {
      if (value !== null && (peak === null || value > peak.value)) peak = { index, value, name };
    }
  }
  return peak;
}
