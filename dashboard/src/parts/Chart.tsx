/** A chart over time as a labelled figure: drawn, walked with keys, told in a sentence, with a table behind it. */

import { useSignal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { onPage } from "../address.ts";
import { isUnfinished, peakOf } from "../buckets.ts";
import { drawBars } from "../charts/bars.ts";
import { schemeVersion } from "../charts/colours.ts";
import { indexAfter, type Walk, walked } from "../charts/keyboard.ts";
import { drawLines, type Line } from "../charts/lines.ts";
import type { Marker } from "../charts/plot.ts";
import { frame, isDragging, show, showWith, tellPoint, view, zone } from "../state.ts";
import { clockTime, formatTime } from "../zones.ts";

export interface ChartProps {
  kind: "lines" | "bars";
  /** One sentence that says what the chart shows. */
  description: string;
  times: readonly number[];
  lines: readonly Line[];
  stepS: number;
  /** Whether the last bucket is over, whatever the page's range is. */
  isWhole?: boolean;
  format: (value: number) => string;
  markers?: readonly Marker[];
  height?: number;
  isLog?: boolean;
  /** Replaces zooming the page to the span that was chosen. */
  onSpan?: (startS: number, endS: number) => void;
}

/** Draw series over time. */
export function Chart(props: ChartProps) {
  const { kind, times, lines, stepS, format, markers = [], height = 200, isLog = false } = props;
  const isOpen = !props.isWhole && isUnfinished(times, stepS, frame.value.endS, Date.now() / 1000);
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const point = useSignal<number | null>(null);
  const walk = useRef<Walk>({ index: null, from: null });
  const walkedTimes = useRef(times);
  const describedBy = useId();
  const shownZone = zone.value;
  const scheme = schemeVersion.value;

  const zoom = (startS: number, endS: number) => {
    if (props.onSpan !== undefined) props.onSpan(startS, endS);
    else showWith({ range: null, span: { startS, endS: Math.max(endS, startS + 1) } });
  };

  useEffect(() => {
    const target = element.current;
    if (target === null || times.length === 0) return;
    const options = {
      width: target.clientWidth || 600,
      height,
      zone: shownZone,
      format,
      markers,
      onMarker: ({ label }: Marker) => show(onPage(view.value, "latency", { before: label })),
      isLog,
      onSpan: zoom,
      onPoint: (index: number | null) => {
        point.value = index;
      },
    };
    const drawn =
      kind === "bars"
        ? drawBars(target, times, lines, stepS, isOpen, options)
        : drawLines(target, times, lines, stepS, isOpen, options);
    plot.current = drawn;
    // A refresh keeps the walk at its time.
    const { index, from } = walk.current;
    walk.current = {
      index: indexAfter(index, walkedTimes.current, times),
      from: indexAfter(from, walkedTimes.current, times),
    };
    if (index !== null) point.value = walk.current.index;
    walkedTimes.current = times;
    const resized = new ResizeObserver(() => drawn.setSize({ width: target.clientWidth, height }));
    resized.observe(target);
    return () => {
      resized.disconnect();
      drawn.destroy();
      plot.current = null;
    };
  }, [kind, times, lines, stepS, isOpen, format, markers, height, isLog, shownZone, scheme]);

  const onKeyDown = (event: KeyboardEvent) => {
    const step = walked(walk.current, event.key, event.shiftKey, times.length);
    if (step === null) return;
    event.preventDefault();
    event.stopPropagation();
    walk.current = step.walk;
    point.value = step.walk.index;
    showCursor(plot.current, times, step.walk);
    if (step.zoom !== null) {
      const [from, to] = step.zoom;
      zoom(times[from] ?? 0, (times[to] ?? 0) + stepS);
    }
    if (step.walk.index !== null) {
      tellPoint(pointWords(step.walk.index, times, lines, format, shownZone, isOpen));
    }
  };

  return (
    <div class="chart">
      <div
        ref={element}
        class="plot"
        role="img"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a chart is walked with the arrow keys
        tabIndex={0}
        aria-describedby={describedBy}
        aria-label={`${props.description}${peakWords(props, shownZone)}`}
        onKeyDown={onKeyDown}
        onPointerDown={() => {
          isDragging.value = true;
        }}
        onPointerUp={() => {
          isDragging.value = false;
        }}
        onPointerLeave={() => {
          isDragging.value = false;
        }}
      />
      <Legend
        times={times}
        lines={lines}
        index={point.value}
        format={format}
        zone={shownZone}
        isUnfinished={isOpen}
      />
      <p id={describedBy} class="hidden">
        Move with the arrow keys. Shift selects, Enter zooms, Escape leaves.
      </p>
    </div>
  );
}

/** Return where the chart is highest, in words: `, highest 1,310 at 2026-11-26 10:30`. */
function peakWords({ kind, times, lines, format }: ChartProps, shownZone: string): string {
  const peak = peakOf(
    lines.filter(({ isOther }) => !isOther),
    kind === "bars",
  );
  if (peak === null) return "";
  const name = peak.name === null ? "" : `${peak.name} `;
  return `, highest ${name}${format(peak.value)} at ${formatTime(times[peak.index] ?? 0, shownZone)}`;
}

interface LegendProps {
  times: readonly number[];
  lines: readonly Line[];
  index: number | null;
  format: (value: number) => string;
  zone: string;
  isUnfinished: boolean;
}

function Legend({ times, lines, index, format, zone: shownZone, isUnfinished }: LegendProps) {
  const timeS = index === null ? undefined : times[index];
  const isLong = (times.at(-1) ?? 0) - (times[0] ?? 0) > 2 * 86_400;
  return (
    <div class="legend">
      <span class="legend-time">
        {timeS !== undefined && isLong ? `${clockTime(timeS, shownZone).weekday} ` : ""}
        {timeS === undefined ? "" : `${formatTime(timeS, shownZone)} (${formatTime(timeS, "UTC").slice(11)} UTC)`}
        {timeS !== undefined && isUnfinished && index === times.length - 1 ? " so far" : ""}
      </span>
      {lines.map((line) => {
        const value = index === null ? null : (line.values[index] ?? null);
        return (
          <span key={line.name} class="legend-entry">
            <i
              class={line.isOther ? "swatch dotted" : "swatch"}
              style={{ color: `var(${line.isOther ? "--soft" : line.token})` }}
            />
            {line.name}
            {index === null ? "" : ` ${value === null ? "–" : format(value)}`}
          </span>
        );
      })}
    </div>
  );
}

function showCursor(plot: uPlot | null, times: readonly number[], walk: Walk): void {
  if (plot === null) return;
  if (walk.index === null) {
    plot.setCursor({ left: -10, top: -10 }, false);
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    return;
  }
  const left = plot.valToPos(times[walk.index] ?? 0, "x");
  plot.setCursor({ left, top: 0 }, false);
  if (walk.from === null) return;
  const from = plot.valToPos(times[walk.from] ?? 0, "x");
  const size = { top: 0, height: plot.over.clientHeight };
  plot.setSelect({ left: Math.min(from, left), width: Math.abs(left - from), ...size }, false);
}

function pointWords(
  index: number,
  times: readonly number[],
  lines: readonly Line[],
  format: (value: number) => string,
  shownZone: string,
  isUnfinished: boolean,
): string {
  const values = lines.map((line) => {
    const value = line.values[index] ?? null;
    return `${line.name} ${value === null ? "no value" : format(value)}`;
  });
  const soFar = isUnfinished && index === times.length - 1 ? ", so far" : "";
  return `${formatTime(times[index] ?? 0, shownZone)}${soFar}: ${values.join(", ")}`;
}
