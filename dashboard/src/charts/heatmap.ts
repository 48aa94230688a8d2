/** A heatmap of time and value: cells are drawn below a line, a box that was dragged names a span of both. */

import uPlot from "uplot";
import type { Latency } from "../api/answers.ts";
import { colourOf, heatColours } from "./colours.ts";
import type { Cell } from "./keyboard.ts";
import { type PlotOptions, plotOptions } from "./plot.ts";

/** Return the step of the palette, 0 to 8, of a cell with `count` requests. */
export function heatStep(count: number, highest: number): number {
  return Math.min(8, Math.floor((9 * Math.log(1 + count)) / Math.log(1 + highest)));
}

/** A span of time in seconds and of values in their unit. */
export interface Box {
  startS: number;
  endS: number;
  from: number;
  to: number;
}

/** Return the buckets of values from the lowest filled one to the highest, without those that no value can be in. */
export function shownBuckets({ counts, bounds }: Latency): number[] {
  const filled = counts.flatMap((cells) => cells.map(([bucket]) => bucket));
  const lowest = Math.min(...filled);
  const all =
    filled.length === 0 ? [] : Array.from({ length: Math.max(...filled) - lowest + 1 }, (_, n) => lowest + n);
  return all.filter((bucket) => boundsOf(bounds, bucket)[1] > boundsOf(bounds, bucket)[0]);
}

/** Return the times and values of a cell. */
export function boxOf({ times, bounds }: Latency, { time, bucket }: Cell, stepS: number): Box {
  const startS = times[time] ?? 0;
  const [from, to] = boundsOf(bounds, bucket);
  return { startS, endS: startS + stepS, from, to };
}

function boundsOf(bounds: readonly number[], bucket: number): [number, number] {
  const from = bounds[bucket] ?? 0;
  return [from, bounds[bucket + 1] ?? from * 2];
}

/** Outline a box; null: none. */
export function outline(plot: uPlot, box: Box | null): void {
  if (box === null) {
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    return;
  }
  const left = plot.valToPos(box.startS, "x");
  const top = plot.valToPos(Math.max(box.to, 1), "y");
  const width = plot.valToPos(box.endS, "x") - left;
  const height = plot.valToPos(Math.max(box.from, 0.5), "y") - top;
  plot.setSelect({ left, top, width, height }, false);
}

/** Draw the cells of an answer, and a line over them, into an element; the caller destroys the plot. */
export function drawHeatmap(
  element: HTMLElement,
  latency: Latency,
  stepS: number,
  line: readonly (number | null)[],
  options: PlotOptions & { span: { startS: number; endS: number }; onBox: (box: Box) => void },
): uPlot {
  const { times, bounds } = latency;
  const base = plotOptions({ ...options, isLog: true });
  const buckets = latency.counts.flatMap((cells) => cells.map(([bucket]) => bucket));
  const lowest = Math.max(1, bounds[Math.min(...buckets)] ?? 1);
  const highest = Math.max(lowest * 10, bounds[Math.max(...buckets) + 1] ?? latency.max ?? 1);
  // The answer has filled buckets alone; the first and the last may reach over the span's ends.
  const { startS, endS } = options.span;
  const shown: [number, number] = [Math.min(times[0] ?? startS, startS), Math.max((times.at(-1) ?? 0) + stepS, endS)];
  return new uPlot(
    {
      ...base,
      axes: base.axes?.map((axis) => ({ ...axis, grid: { show: false } })) ?? [],
      cursor: { ...base.cursor, drag: { x: true, y: true, setScale: false } },
      scales: {
        x: { time: true, range: () => shown },
        y: { distr: 3, range: () => [lowest, highest] },
      },
      series: [{}, { label: "p95", stroke: () => colourOf("--text"), width: 1.4, points: { show: false } }],
      hooks: {
        ...base.hooks,
        drawAxes: [(plot) => drawCells(plot, latency, stepS)],
        setSelect: [(plot) => boxed(plot, options.onBox)],
      },
    },
    [times, [...line]],
    element,
  );
}

function drawCells(plot: uPlot, { times, counts, bounds }: Latency, stepS: number): void {
  const { ctx, bbox } = plot;
  const colours = heatColours();
  let highest = 1;
  for (const cells of counts) for (const [, count] of cells) highest = Math.max(highest, count);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  times.forEach((timeS, index) => {
    // Neighbours share an edge: whole pixels of both leave no gap.
    const left = Math.round(plot.valToPos(timeS, "x", true));
    const right = Math.round(plot.valToPos(timeS + stepS, "x", true));
    for (const [bucket, count] of counts[index] ?? []) {
      const [from, to] = boundsOf(bounds, bucket);
      if (to <= from) continue;
      const bottom = Math.round(plot.valToPos(Math.max(from, 0.5), "y", true));
      const top = Math.round(plot.valToPos(Math.max(to, 1), "y", true));
      ctx.fillStyle = colours[heatStep(count, highest)] ?? "";
      ctx.fillRect(left, top, Math.max(1, right - left), Math.max(1, bottom - top));
    }
  });
  ctx.restore();
}

function boxed(plot: uPlot, onBox: (box: Box) => void): void {
  const { left, top, width, height } = plot.select;
  if (width < 4 || height < 4) return;
  const box = {
    startS: Math.floor(plot.posToVal(left, "x")),
    endS: Math.ceil(plot.posToVal(left + width, "x")),
    from: plot.posToVal(top + height, "y"),
    to: plot.posToVal(top, "y"),
  };
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onBox(box);
}
