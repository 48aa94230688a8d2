/** What all charts over time share: axes in the page's zone, the cursor, dragging a span, markers of deploys. */

import type uPlot from "uplot";
import { tickLabel } from "../zones.ts";
import { colourOf } from "./colours.ts";

export interface Marker {
  timeS: number;
  label: string;
}

export interface PlotOptions {
  width: number;
  height: number;
  zone: string;
  /** Writes a value of the y axis. */
  format: (value: number) => string;
  markers: readonly Marker[];
  /** A marker was clicked. */
  onMarker?: ((marker: Marker) => void) | undefined;
  isLog?: boolean;
  /** A span that was dragged, in seconds. */
  onSpan?: ((startS: number, endS: number) => void) | undefined;
  onDragging?: ((isDragging: boolean) => void) | undefined;
  /** The index of the point below the cursor, or null. */
  onPoint?: ((index: number | null) => void) | undefined;
}

const FONT = "11px system-ui, sans-serif";

/** Return the options of uPlot for a chart over time; the caller adds series. */
export function plotOptions(options: PlotOptions): Omit<uPlot.Options, "series"> {
  return {
    width: options.width,
    height: options.height,
    legend: { show: false },
    // On the right, half of a label has room: the last one may stand at the edge.
    padding: [8, 28, 0, 0],
    cursor: {
      sync: { key: "page" },
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      focus: { prox: 24 },
    },
    scales: {
      x: { time: true },
      y: options.isLog ? { distr: 3 } : { range: (_plot, _min, max) => [0, max > 0 ? max * 1.06 : 1] },
    },
    axes: [xAxis(options.zone), yAxis(options.format)],
    hooks: {
      ready: [(plot) => plot.over.addEventListener("click", (event) => clicked(plot, event.offsetX, options))],
      setCursor: [(plot) => options.onPoint?.(plot.cursor.idx ?? null)],
      setSelect: [(plot) => selected(plot, options)],
      draw: [(plot) => drawMarkers(plot, options.markers)],
    },
  };
}

function xAxis(zone: string): uPlot.Axis {
  return {
    font: FONT,
    stroke: () => colourOf("--soft"),
    grid: { show: false },
    ticks: { stroke: () => colourOf("--line"), width: 1, size: 4 },
    size: 26,
    values: (plot, splits, _axis, _space, everyS) => {
      const spanS = (plot.scales.x?.max ?? 0) - (plot.scales.x?.min ?? 0);
      return splits.map((timeS) => tickLabel(timeS, zone, everyS, spanS));
    },
  };
}

function yAxis(format: (value: number) => string): uPlot.Axis {
  return {
    font: FONT,
    stroke: () => colourOf("--soft"),
    grid: { stroke: () => colourOf("--line"), width: 1 },
    ticks: { show: false },
    size: 58,
    values: (_plot, splits) => splits.map((value) => (value === null ? "" : format(value).replace("≈", ""))),
  };
}

function selected(plot: uPlot, options: PlotOptions): void {
  if (plot.select.width < 4) return;
  const startS = Math.floor(plot.posToVal(plot.select.left, "x"));
  const endS = Math.ceil(plot.posToVal(plot.select.left + plot.select.width, "x"));
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  options.onDragging?.(false);
  if (endS > startS) options.onSpan?.(startS, endS);
}

/** How near to a marker a click means it, in pixels. */
const NEAR = 6;

function clicked(plot: uPlot, x: number, { markers, onMarker }: PlotOptions): void {
  const near = markers
    .map((marker) => ({ marker, distance: Math.abs(plot.valToPos(marker.timeS, "x") - x) }))
    .filter(({ distance }) => distance <= NEAR)
    .sort((a, b) => a.distance - b.distance)[0];
  if (near !== undefined) onMarker?.(near.marker);
}

/** The most deploys that a chart draws; the newest win. */
const MAX_MARKERS = 10;

function drawMarkers(plot: uPlot, markers: readonly Marker[]): void {
  const { ctx, bbox } = plot;
  const { min, max } = plot.scales.x ?? {};
  if (min === undefined || max === undefined || min === null || max === null) return;
  const seen = markers.filter(({ timeS }) => timeS >= min && timeS <= max).sort((a, b) => b.timeS - a.timeS);
  ctx.save();
  ctx.strokeStyle = colourOf("--soft");
  ctx.fillStyle = colourOf("--soft");
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.lineWidth = devicePixelRatio;
  ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  let freeUntil = Number.POSITIVE_INFINITY;
  for (const { timeS, label } of seen.slice(0, MAX_MARKERS)) {
    const x = Math.round(plot.valToPos(timeS, "x", true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const text = label.length > 14 ? `${label.slice(0, 13)}…` : label;
    const width = ctx.measureText(text).width;
    // A name stands right of its line, at the edge left of it; where it would run into the next one it is left out.
    const isInside = x + width + 6 < bbox.left + bbox.width;
    const left = isInside ? x + 4 : x - width - 4;
    if (left + width + 2 < freeUntil) {
      ctx.fillText(text, left, bbox.top + 10 * devicePixelRatio);
      freeUntil = Math.min(x, left);
    }
  }
  if (seen.length > MAX_MARKERS) {
    ctx.fillText(`+${seen.length - MAX_MARKERS}`, bbox.left + 4, bbox.top + 10 * devicePixelRatio);
  }
  ctx.restore();
}
