/** Latency: how time is distributed, and what moved. */

import { useEffect, useId, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { onPage, type View } from "../address.ts";
import type { Latency as LatencyAnswer, Timeseries } from "../api/answers.ts";
import { granularity, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { schemeVersion } from "../charts/colours.ts";
import { type Box, boxOf, drawHeatmap, outline, shownBuckets } from "../charts/heatmap.ts";
import { type Cell, indexAfter, walkedCell } from "../charts/keyboard.ts";
import { changeOf } from "../compare.ts";
import { formatOf, parseFilter, withFilter } from "../filters.ts";
import { margin } from "../format.ts";
import { Link } from "../parts/Link.tsx";
import { Panel, type PanelTable } from "../parts/Panel.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { stepSeconds } from "../ranges.ts";
import { exactRequests } from "../sampling.ts";
import { frame, show, showWith, tellPoint, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { distributionTable, Histogram } from "./Histogram.tsx";
import { LONGEST, percentilesOf } from "./percentiles.ts";
import { BeforeAndAfter, FirstByte } from "./RouteTimes.tsx";
import { useDeploys } from "./TimePanels.tsx";

const VALUES: Record<string, string> = {
  response_us: "Response time",
  ttfb_us: "First byte",
  request_bytes: "Request bytes",
  response_bytes: "Response bytes",
};

/** Show the distribution of a value over the range. */
export function Latency() {
  const value = Object.keys(VALUES).find((name) => name === view.value.own.value) ?? "response_us";
  const whole = useQuestion<LatencyAnswer>(question("v1/latency", { value, resolution: 3 }, { compares: true }));
  return (
    <>
      <div class="segments" role="tablist" aria-label="What is measured">
        {Object.entries(VALUES).map(([name, words]) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={value === name}
            onClick={() => {
              const { value: _, ...own } = view.value.own;
              showWith({ own: name === "response_us" ? own : { ...own, value: name } });
            }}
          >
            {words}
          </button>
        ))}
      </div>
      <HeatmapPanel value={value} />
      <div class="grid two">
        <Panel title="Distribution" resource={whole} isEmpty={(data) => data.total === 0} table={distributionTable}>
          {(data) => <Histogram latency={data} />}
        </Panel>
        <Panel title="Percentiles" resource={whole} isEmpty={(data) => data.total === 0} table={percentileRows}>
          {(data) => <PercentileTable latency={data} />}
        </Panel>
      </div>
      <BeforeAndAfter />
      <FirstByte />
    </>
  );
}

function HeatmapPanel({ value }: { value: string }) {
  const { percentileStep } = frame.value;
  const cells = useQuestion<LatencyAnswer>(
    question("v1/latency", { value, resolution: 3, granularity: stepSeconds(percentileStep) }),
  );
  const line = useQuestion<Timeseries>(
    timeseries({ ...granularity(percentileStep), aggregation: "percentile_95", value, fill: "null" }),
  );
  return (
    <Panel
      title={`${VALUES[value]} over time`}
      resource={cells}
      height={260}
      isEmpty={(data) => data.total === 0}
      table={(data) => ({
        header: [`Time (${zone.value})`, "From", "To", "Requests"],
        rows: data.times.flatMap((timeS, index) =>
          (data.counts[index] ?? []).map(([bucket, count]) => [
            formatTime(timeS, zone.value, true),
            data.bounds[bucket] ?? null,
            data.bounds[bucket + 1] ?? null,
            count,
          ]),
        ),
      })}
    >
      {(data) => <Heatmap latency={data} line={line.value.data} value={value} />}
    </Panel>
  );
}

function Heatmap({ latency, line, value }: { latency: LatencyAnswer; line: Timeseries | null; value: string }) {
  const element = useRef<HTMLDivElement>(null);
  const drawn = useRef<uPlot | null>(null);
  const cell = useRef<Cell | null>(null);
  const walkedTimes = useRef(latency.times);
  const describedBy = useId();
  const stepS = stepSeconds(frame.value.percentileStep);
  const markers = useDeploys();
  const shownZone = zone.value;
  const scheme = schemeVersion.value;
  useEffect(() => {
    const target = element.current;
    if (target === null) return;
    const byTime = new Map((Object.values(line?.groups ?? {})[0] ?? []).map(([timeS, p95]) => [timeS, p95 ?? null]));
    const plot = drawHeatmap(
      target,
      latency,
      stepS,
      latency.times.map((timeS) => byTime.get(timeS) ?? null),
      {
        width: target.clientWidth || 600,
        height: innerWidth < 760 ? 160 : 260,
        zone: shownZone,
        format: formatOf(value),
        markers,
        span: frame.value,
        onBox: (box) => openBox(box, value),
      },
    );
    // A refresh keeps the walk at its time. The observer is called first when the plot has its scales.
    const time = indexAfter(cell.current?.time ?? null, walkedTimes.current, latency.times);
    cell.current = cell.current === null || time === null ? null : { ...cell.current, time };
    walkedTimes.current = latency.times;
    const resized = new ResizeObserver(() => {
      plot.setSize({ width: target.clientWidth, height: plot.height });
      outline(plot, cell.current === null ? null : boxOf(latency, cell.current, stepS));
    });
    resized.observe(target);
    drawn.current = plot;
    return () => {
      resized.disconnect();
      plot.destroy();
      drawn.current = null;
    };
  }, [latency, line, value, stepS, markers, shownZone, scheme]);
  const onKeyDown = (event: KeyboardEvent) => {
    const plot = drawn.current;
    const before = cell.current;
    const after = walkedCell(before, event.key, latency.times.length, shownBuckets(latency));
    const isOwn = after !== null || (before !== null && (event.key === "Enter" || event.key === "Escape"));
    if (plot === null || !isOwn) return;
    event.preventDefault();
    event.stopPropagation();
    cell.current = after;
    outline(plot, after === null ? null : boxOf(latency, after, stepS));
    if (after !== null) tellPoint(cellWords(latency, after, stepS, value));
    else if (before !== null && event.key === "Enter") openBox(boxOf(latency, before, stepS), value);
  };
  return (
    <>
      <div
        ref={element}
        class="plot"
        role="img"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a chart is walked with the arrow keys
        tabIndex={0}
        aria-describedby={describedBy}
        aria-label={`Heatmap of ${exactRequests(latency.total)} requests by time and ${VALUES[value]}; the table has its cells`}
        onKeyDown={onKeyDown}
      />
      <p id={describedBy} class="hidden">
        Move by cell with the arrow keys. Enter opens the requests of a cell, Escape leaves.
      </p>
    </>
  );
}

/** Say a cell's time, values and requests. */
function cellWords(latency: LatencyAnswer, cell: Cell, stepS: number, value: string): string {
  const { startS, from, to } = boxOf(latency, cell, stepS);
  const format = formatOf(value);
  const count = latency.counts[cell.time]?.find(([bucket]) => bucket === cell.bucket)?.[1] ?? 0;
  return `${formatTime(startS, zone.value)}, ${format(from)} to ${format(to)}: ${exactRequests(count)} requests`;
}

/** Show the requests of a box: its time, and its values. The first and the last cells have requests of the range alone. */
function openBox({ startS, endS, from, to }: Box, field: string): void {
  const range = frame.value;
  const span = { startS: Math.max(startS, range.startS), endS: Math.min(endS, range.endS) };
  const next = { ...onPage(view.value, "requests"), range: null, span };
  if (field === "response_us") {
    const fromMs = Math.floor(from / 1000);
    show({ ...next, slowness: { fromMs, toMs: Math.max(fromMs + 1, Math.ceil(to / 1000)) } });
    return;
  }
  // The upper end belongs to the cell above.
  const least = Math.floor(from);
  const filter = parseFilter("between", `${field}:${least}..${Math.max(least, Math.ceil(to) - 1)}`);
  show(filter === null ? next : { ...next, filters: withFilter(next.filters, filter) });
}

function percentileRows(latency: LatencyAnswer): PanelTable {
  return {
    header: ["Percentile", latency.value, "In the other period"],
    rows: percentilesOf(latency).map(({ name, now, before }) => [name, now, before]),
  };
}

/** Return the view of the requests with so much, or more, of a measured field. */
function slowest(field: string, least: number): View {
  const to = onPage(view.value, "requests");
  if (field === "response_us") return { ...to, slowness: { fromMs: Math.floor(least / 1000), toMs: null } };
  const filter = parseFilter("between", `${field}:${Math.floor(least)}..`);
  return filter === null ? to : { ...to, filters: withFilter(to.filters, filter) };
}

function PercentileTable({ latency }: { latency: LatencyAnswer }) {
  const format = formatOf(latency.value);
  const meaning = latency.value.endsWith("_us") ? "lower" : "none";
  const { previous } = latency;
  return (
    <div class="scroll">
      <table class="rows">
        <caption class="hidden">Percentiles</caption>
        <thead>
          <tr>
            <th scope="col">Percentile</th>
            <th scope="col" class="number">
              {VALUES[latency.value]}
            </th>
            {previous !== undefined && (
              <th scope="col" class="number">
                Change
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {percentilesOf(latency).map(({ name, now, before }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">
                {now === null ? format(now) : <Link to={slowest(latency.value, now)}>{format(now)}</Link>}
                {name !== LONGEST && margin(latency.estimated)}
              </td>
              {previous !== undefined && (
                <td class="number">
                  <ChangeText change={changeOf(now, before, previous.total, meaning, format)} />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
