/** Stacked bars over time: the unfinished bucket is hatched. */

import uPlot from "uplot";
import { stacked } from "../buckets.ts";
import { colourOf } from "./colours.ts";
import type { Line } from "./lines.ts";
import { type PlotOptions, plotOptions } from "./plot.ts";

/** More bars than this touch each other on any screen: their outline looks the same, and is one path. */
const MAX_BARS = 2000;

/** Draw stacked bars, the first series at the bottom, and return the plot, which the caller destroys. */
export function drawBars(
  element: HTMLElement,
  times: readonly number[],
  lines: readonly Line[],
  stepS: number,
  isUnfinished: boolean,
  options: PlotOptions,
): uPlot {
  const own = lines.filter(({ isOther }) => !isOther);
  const tops = stacked(own.map(({ values }) => values));
  // The tallest is drawn first, and lower ones over it.
  const layers = own.map((line, index) => ({ line, top: tops[index] ?? [] })).reverse();
  const others = lines.filter(({ isOther }) => isOther);
  const base = plotOptions(options);
  const series: uPlot.Series[] = [
    {},
    ...layers.map(({ line }) => bar(line, times.length > MAX_BARS)),
    ...others.map((line) => ({
      label: line.name,
      stroke: () => colourOf("--soft"),
      width: 1,
      dash: [2, 3],
      points: { show: false },
    })),
  ];
  const data = [times, ...layers.map(({ top }) => top), ...others.map(({ values }) => values)];
  const last = times.at(-1) ?? 0;
  return new uPlot(
    {
      ...base,
      scales: { ...base.scales, x: { time: true, range: (_plot, min) => [min, last + stepS] } },
      hooks: {
        ...base.hooks,
        draw: [
          (plot) => isUnfinished && hatch(plot, last, stepS, tops.at(-1)?.at(-1) ?? 0),
          ...(base.hooks?.draw ?? []),
        ],
      },
      series,
    },
    data as uPlot.AlignedData,
    element,
  );
}

function bar(line: Line, isDense: boolean): uPlot.Series {
  const paths = isDense ? uPlot.paths.stepped?.({ align: 1 }) : uPlot.paths.bars?.({ size: [0.86, 60], align: 1 });
  return {
    label: line.name,
    fill: () => fillOf(line.token),
    stroke: () => colourOf(line.token),
    width: 0,
    points: { show: false },
    ...(paths === undefined ? {} : { paths }),
  };
}

/** Return a colour; in forced colours, errors of clients and of servers are hatched in two directions. */
function fillOf(token: string): string | CanvasPattern {
  const colour = colourOf(token);
  const slope = { "--status-4xx": 0, "--status-5xx": 8 }[token];
  if (slope === undefined || !matchMedia("(forced-colors: active)").matches) return colour;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const ctx = tile.getContext("2d");
  if (ctx === null) return colour;
  ctx.fillStyle = colour;
  ctx.fillRect(0, 0, 8, 8);
  ctx.strokeStyle = colourOf("--surface");
  ctx.lineWidth = 2;
  ctx.moveTo(0, slope);
  ctx.lineTo(8, 8 - slope);
  ctx.stroke();
  return ctx.createPattern(tile, "repeat") ?? colour;
}

function hatch(plot: uPlot, timeS: number, stepS: number, top: number): void {
  const { ctx, bbox } = plot;
  const left = plot.valToPos(timeS, "x", true);
  const right = Math.min(plot.valToPos(timeS + stepS, "x", true), bbox.left + bbox.width);
  const y = plot.valToPos(top, "y", true);
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, y, right - left, bbox.top + bbox.height - y);
  ctx.clip();
  ctx.strokeStyle = colourOf("--surface");
  ctx.lineWidth = 2 * devicePixelRatio;
  const every = 5 * devicePixelRatio;
  for (let x = left - bbox.height; x < right; x += every) {
    ctx.beginPath();
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
    ctx.stroke();
  }
  ctx.restore();
}
