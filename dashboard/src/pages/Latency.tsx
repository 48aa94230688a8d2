/** Latency: how time is distributed, and what moved. */

import { useEffect, useId, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { onPage } from "../address.ts";
import type { Breakdown, BreakdownRow, Latency as LatencyAnswer, Timeseries } from "../api/answers.ts";
import { granularity, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { schemeVersion } from "../charts/colours.ts";
import { type Box, boxOf, drawHeatmap, outline, shownBuckets } from "../charts/heatmap.ts";
import { type Cell, walkedCell } from "../charts/keyboard.ts";
import type { Marker } from "../charts/plot.ts";
import { changeOf } from "../compare.ts";
import type { Filter } from "../filters.ts";
import { formatCount, formatExact, formatMs, MISSING } from "../format.ts";
import { Panel, type PanelTable } from "../parts/Panel.tsx";
import { Table } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { stepSeconds } from "../ranges.ts";
import { frame, show, showWith, tellPoint, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { breakdownTable, ROUTE, requests, withoutSort } from "./figures.tsx";
import { distributionTable, formatOf, Histogram } from "./Histogram.tsx";
import { LONGEST, percentilesOf } from "./percentiles.ts";
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
        onBox: (box) => openBox(box, value),
      },
    );
    // A refresh keeps the walk where it is. The observer is called first when the plot has its scales.
    if (cell.current !== null && cell.current.time >= latency.times.length) cell.current = null;
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
        aria-label={`Heatmap of ${formatExact(latency.total)} requests by time and ${VALUES[value]}; the table has its cells`}
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
  return `${formatTime(startS, zone.value)}, ${format(from)} to ${format(to)}: ${formatExact(count)} requests`;
}

/** Show the requests of a box: its time, and its response times. */
function openBox(box: Box, value: string): void {
  const span = { startS: box.startS, endS: box.endS };
  const next = { ...onPage(view.value, "requests"), range: null, span };
  const fromMs = Math.floor(box.from / 1000);
  const slowness = { fromMs, toMs: Math.max(fromMs + 1, Math.ceil(box.to / 1000)) };
  show(value === "response_us" ? { ...next, slowness } : next);
}

function percentileRows(latency: LatencyAnswer): PanelTable {
  return {
    header: ["Percentile", latency.value, "In the other period"],
    rows: percentilesOf(latency).map(({ name, now, before }) => [name, now, before]),
  };
}

function PercentileTable({ latency }: { latency: LatencyAnswer }) {
  const format = formatOf(latency.value);
  const meaning = latency.value.endsWith("_us") ? "lower" : "none";
  const { previous } = latency;
  return (
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
              {format(now)}
              {latency.estimated && name !== LONGEST ? " ±2 %" : ""}
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
  );
}

/** The time to the first byte against the whole time, by route. */
function FirstByte() {
  const parameters = { by: "route", measures: "requests,p95Ms,ttfbP95Ms", sort: "requests", limit: 20 };
  const resource = useQuestion<Breakdown>(question("v1/breakdown", parameters));
  return (
    <Panel
      title="Time to the first byte, by route"
      resource={resource}
      isEmpty={(data) => data.rows.length === 0}
      table={breakdownTable}
    >
      {(data) => (
        <Table
          caption="Time to the first byte against the whole time"
          rows={data.rows}
          keyOf={(row) => row.key[0] ?? ""}
          open={(row) => onPage(view.value, "routes", { route: row.key[0] ?? "" })}
          columns={[
            ROUTE,
            withoutSort(requests(["route"])),
            { title: "p95 to the first byte", isNumber: true, cell: (row) => formatMs(row.ttfbP95Ms) },
            { title: "p95 of all", isNumber: true, cell: (row) => formatMs(row.p95Ms) },
          ]}
        />
      )}
    </Panel>
  );
}

/** Return the last deploy: the one that somebody who looks at latency asks about. */
function newest(markers: readonly Marker[]): Marker | undefined {
  return [...markers].sort((a, b) => b.timeS - a.timeS)[0];
}

/** The fewest requests on each side of a deploy that tell something. */
const ENOUGH = 30;

function BeforeAndAfter() {
  const markers = useDeploys();
  const chosen = markers.find(({ label }) => label === view.value.own.before) ?? newest(markers);
  if (chosen === undefined) return null;
  return (
    <>
      <div class="actions">
        <label>
          Before and after{" "}
          <select
            value={chosen.label}
            onChange={(event) => showWith({ own: { ...view.value.own, before: event.currentTarget.value } })}
          >
            {markers.map(({ label, timeS }) => (
              <option key={`${label} ${timeS}`} value={label}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </div>
      <BeforeAndAfterPanel label={chosen.label} timeS={Math.floor(chosen.timeS)} />
    </>
  );
}

function BeforeAndAfterPanel({ label, timeS }: { label: string; timeS: number }) {
  const { endS } = frame.value;
  const lengthS = Math.max(60, Math.min(endS - timeS, 7 * 86_400));
  const parameters = { by: "route", measures: "requests,p95Ms", sort: "requests", limit: 20 };
  const none: readonly Filter[] = [];
  const after = useQuestion<Breakdown>(
    question("v1/breakdown", parameters, { span: { startS: timeS, endS: timeS + lengthS }, also: none }),
  );
  const before = useQuestion<Breakdown>(
    question("v1/breakdown", parameters, { span: { startS: timeS - lengthS, endS: timeS }, also: none }),
  );
  const beforeRows = new Map((before.value.data?.rows ?? []).map((row) => [row.key[0] ?? "", row]));
  const change = (row: BreakdownRow) => {
    const old = beforeRows.get(row.key[0] ?? "");
    if ((row.requests ?? 0) < ENOUGH || (old?.requests ?? 0) < ENOUGH) return "too few requests to tell";
    return <ChangeText change={changeOf(row.p95Ms, old?.p95Ms, old?.requests ?? 0, "lower", formatMs)} />;
  };
  return (
    <Panel
      title={`Before and after ${label}, by route`}
      resource={after}
      isEmpty={(data) => data.rows.length === 0}
      table={(data) => ({
        header: ["Route", "p95 before, ms", "p95 after, ms", "Requests before", "Requests after"],
        rows: data.rows.map((row) => {
          const old = beforeRows.get(row.key[0] ?? "");
          return [row.key[0] ?? "", old?.p95Ms ?? null, row.p95Ms ?? null, old?.requests ?? 0, row.requests ?? 0];
        }),
      })}
    >
      {(data) => (
        <Table
          caption={`p95 before and after ${label}`}
          rows={data.rows}
          keyOf={(row) => row.key[0] ?? ""}
          open={(row) => onPage(view.value, "routes", { route: row.key[0] ?? "" })}
          columns={[
            ROUTE,
            {
              title: "p95 before",
              isNumber: true,
              cell: (row) => formatMs(beforeRows.get(row.key[0] ?? "")?.p95Ms),
            },
            { title: "p95 after", isNumber: true, cell: (row) => formatMs(row.p95Ms) },
            { title: "Change", isNumber: true, cell: change },
            {
              title: "Requests before, after",
              isNumber: true,
              isMinor: true,
              cell: (row) =>
                `${formatCount(beforeRows.get(row.key[0] ?? "")?.requests) || MISSING}, ${formatCount(row.requests)}`,
            },
          ]}
        />
      )}
    </Panel>
  );
}
