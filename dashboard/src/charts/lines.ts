/** Lines over time: the unfinished bucket is dashed, the other period is dotted. */

import uPlot from "uplot";
import { colourOf } from "./colours.ts";
import { type PlotOptions, plotOptions } from "./plot.ts";

export interface Line {
  name: string;
  token: string;
  values: readonly (number | null)[];
  /** Whether the line shows the other period. */
  isOther?: boolean;
}

/** Draw lines into an element, and return the plot, which the caller destroys. */
export function drawLines(
  element: HTMLElement,
  times: readonly number[],
  lines: readonly Line[],
  stepS: number,
  isUnfinished: boolean,
  options: PlotOptions,
): uPlot {
  const data: (readonly (number | null)[])[] = [times];
  const series: uPlot.Series[] = [{}];
  for (const line of lines) {
    const hasTail = isUnfinished && !line.isOther && times.length > 1;
    data.push(hasTail ? line.values.map((value, index) => (index === times.length - 1 ? null : value)) : line.values);
    series.push(seriesOf(line, line.isOther ? [2, 3] : undefined));
    if (!hasTail) continue;
    data.push(line.values.map((value, index) => (index >= times.length - 2 ? value : null)));
    series.push(seriesOf(line, [5, 4]));
  }
  const base = plotOptions(options);
  // A deploy within the last bucket is seen, too.
  const toS = (times.at(-1) ?? 0) + stepS;
  const scales = {
    ...base.scales,
    x: { time: true, range: (_plot: uPlot, min: number): [number, number] => [min, toS] },
  };
  return new uPlot({ ...base, scales, series }, data as uPlot.AlignedData, element);
}

function seriesOf(line: Line, dash: number[] | undefined): uPlot.Series {
  return {
    label: line.name,
    stroke: () => colourOf(line.isOther ? "--soft" : line.token),
    width: line.isOther ? 1 : 1.6,
    spanGaps: false,
    points: { show: line.values.filter((value) => value !== null).length < 3, size: 5 },
    ...(dash === undefined ? {} : { dash }),
  };
}
