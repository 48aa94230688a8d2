/** Data quality: is what the page shows whole, and which sender is not. */

import type { Signal } from "@preact/signals";
import type { Quality as QualityAnswer } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { type Resource, useQuestion } from "../api/resource.ts";
import { bucketTimes } from "../buckets.ts";
import { seriesToken } from "../charts/colours.ts";
import type { Line } from "../charts/lines.ts";
import { formatCount, formatDuration, formatExact, visibleText } from "../format.ts";
import { badgeOf } from "../parts/Badge.tsx";
import { Chart } from "../parts/Chart.tsx";
import { Folded } from "../parts/Folded.tsx";
import { notFiltered } from "../parts/not_filtered.ts";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { type Column, Table } from "../parts/Table.tsx";
import { Tile } from "../parts/Tile.tsx";
import { twoLines } from "../parts/two_lines.tsx";
import { frame, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { Collectors } from "./Collectors.tsx";
import { seenText } from "./figures.tsx";
import { Recorded } from "./Recorded.tsx";
import { recordedRows } from "./recorded_words.ts";
import { useDeploys } from "./TimePanels.tsx";

type Sender = QualityAnswer["senders"][number];

const MINUTE_S = 60;

/** Show how whole the data is. */
export function Quality() {
  const { startS, endS } = frame.value;
  const span = { startS: Math.floor(startS / MINUTE_S) * MINUTE_S, endS: Math.ceil(endS / MINUTE_S) * MINUTE_S };
  const stepS = Math.max(MINUTE_S, Math.ceil((endS - startS) / 100 / MINUTE_S) * MINUTE_S);
  const resource = useQuestion<QualityAnswer>(
    question("v1/quality", { granularity: stepS }, { span, isUnfiltered: true }),
  );
  return (
    <>
      <Panel
        title="Completeness"
        class="tiles"
        resource={resource}
        height={86}
        cannotFilter={notFiltered("senders count all that they capture")}
      >
        {(data) => <Totals quality={data} />}
      </Panel>
      {!isPhone.value && <OverTime resource={resource} span={span} stepS={stepS} />}
      <Panel
        title="Senders"
        height={80}
        resource={resource}
        isEmpty={(data) => data.senders.length === 0}
        empty={<p class="state">No sender reported in this range.</p>}
        table={(data) => ({
          header: ["Sender", "Source", "Version", "Last report", "Captured", "Stored", "Lost", "Pending", "State"],
          rows: data.senders.map((sender) => [
            sender.instance,
            sender.source,
            sender.version,
            sender.lastReport,
            sender.captured,
            sender.stored,
            lostText(sender),
            sender.pending,
            sender.state,
          ]),
        })}
      >
        {(data) => <Senders quality={data} />}
      </Panel>
      <Folded title="Over time, collectors, what is recorded">
        {isPhone.value && <OverTime resource={resource} span={span} stepS={stepS} />}
        <Collectors />
        <Panel
          title="What is recorded"
          height={80}
          resource={resource}
          table={(data) => ({ header: ["What", "How"], rows: recordedRows(data.recorded) })}
        >
          {(data) => <Recorded recorded={data.recorded} />}
        </Panel>
      </Folded>
    </>
  );
}

interface OverTimeProps {
  resource: Signal<Resource<QualityAnswer>>;
  span: { startS: number; endS: number };
  stepS: number;
}

function OverTime({ resource, span, stepS }: OverTimeProps) {
  return (
    <Panel
      title="Stored and lost over time"
      resource={resource}
      isEmpty={(data) => data.series.length === 0}
      empty={
        <p class="state">
          No sender reported in this range. Senders of JSON and imports report nothing: only the middleware counts
          what it captured.
        </p>
      }
      table={(data) => ({
        header: [`Time (${zone.value})`, "Captured", "Stored", ...reasonsOf(data)],
        rows: data.series.map(([timeS, { captured, stored, lost }]) => [
          formatTime(timeS, zone.value),
          captured,
          stored,
          ...reasonsOf(data).map((reason) => lost[reason] ?? 0),
        ]),
      })}
    >
      {(data) => <LossChart quality={data} span={span} stepS={stepS} />}
    </Panel>
  );
}

function Totals({ quality }: { quality: QualityAnswer }) {
  const { total, newestEventAt, silentSenders, withoutReports, collectors } = quality;
  const lost = Object.entries(total.lost);
  const badge = badgeOf(total);
  return (
    <dl class="tile-row led">
      <Tile
        label="Stored of what was captured"
        value={badge.text}
        exact={String(total.share ?? "")}
        note={`${formatExact(total.stored)} of ${formatExact(total.captured)}`}
      />
      <Tile label="Waiting" value={formatCount(total.pending)} note="captured, not stored yet" />
      <Tile
        label="Lost"
        value={formatCount(lost.reduce((sum, [, count]) => sum + count, 0))}
        note={isPhone.value ? <Losses lost={lost} /> : lostText(total)}
      />
      <Tile label="Collector lag" value={lagText(collectors)} note={collectorsText(collectors)} />
      <Tile label="Newest event" value={seenText(newestEventAt)} />
      <Tile label="Without reports" value={formatCount(withoutReports)} note="JSON senders and imports" />
      <Tile label="Silent senders" value={formatCount(silentSenders)} note="with events in their buffer" />
    </dl>
  );
}

function lagText({ oldestSegmentS }: QualityAnswer["collectors"]): string {
  if (oldestSegmentS === null) return "–";
  return oldestSegmentS === 0 ? "none" : formatDuration(oldestSegmentS * 1e6);
}

function collectorsText({ known, silent }: QualityAnswer["collectors"]): string {
  if (known === 0) return "no collector has reported";
  if (silent === known) return "no collector reports";
  return silent === 0 ? "the oldest segment" : `${formatExact(silent)} of ${formatExact(known)} collectors silent`;
}

/** The losses by reason, as a list. */
function Losses({ lost }: { lost: readonly [string, number][] }) {
  return (
    <ul>
      {lost.map(([reason, count]) => (
        <li key={reason}>
          {reason} {formatExact(count)}
        </li>
      ))}
    </ul>
  );
}

function reasonsOf(quality: QualityAnswer): string[] {
  return [...new Set(quality.series.flatMap(([, { lost }]) => Object.keys(lost)))];
}

const linesByQuality = new WeakMap<QualityAnswer, { times: number[]; lines: Line[] }>();

function LossChart({
  quality,
  span,
  stepS,
}: {
  quality: QualityAnswer;
  span: { startS: number; endS: number };
  stepS: number;
}) {
  const markers = useDeploys();
  let drawn = linesByQuality.get(quality);
  if (drawn === undefined) {
    // The answer leaves out buckets without reports; the chart has the whole range.
    const reported = new Map(quality.series);
    const times = [...new Set([...bucketTimes(span, stepS), ...reported.keys()])].sort((a, b) => a - b);
    const values = (of: (counts: QualityAnswer["series"][number][1]) => number) =>
      times.map((timeS) => {
        const counts = reported.get(timeS);
        return counts === undefined ? 0 : of(counts);
      });
    drawn = {
      times,
      lines: [
        ...reasonsOf(quality).map((reason, index) => ({
          name: reason,
          token: index === 0 ? "--bad" : seriesToken(index),
          values: values(({ lost }) => lost[reason] ?? 0),
        })),
        { name: "stored", token: "--status-2xx", values: values(({ stored }) => stored) },
      ],
    };
    linesByQuality.set(quality, drawn);
  }
  return (
    <Chart
      kind="bars"
      description={`Stored and lost events over time: ${formatExact(quality.total.stored)} stored`}
      times={drawn.times}
      lines={drawn.lines}
      stepS={stepS}
      isWhole
      format={formatCount}
      markers={markers}
    />
  );
}

function Senders({ quality }: { quality: QualityAnswer }) {
  return (
    <Table
      caption="Senders"
      rows={quality.senders}
      keyOf={(sender) => sender.instance}
      columns={isPhone.value ? [SENDER_ON_PHONE] : SENDERS}
    />
  );
}

const SENDERS: readonly Column<Sender>[] = [
  { title: "Sender", cell: (sender) => visibleText(sender.instance, 60) },
  { title: "Source", isMinor: true, cell: (sender) => visibleText(sender.source, 60) },
  { title: "Version", isMinor: true, cell: (sender) => visibleText(sender.version, 60) },
  { title: "Last report", cell: (sender) => seenText(sender.lastReport) },
  { title: "Captured", isNumber: true, cell: (sender) => formatCount(sender.captured) },
  { title: "Stored", isNumber: true, cell: (sender) => formatCount(sender.stored) },
  {
    title: "Lost",
    isNumber: true,
    cell: (sender) => lostText(sender) || "0",
  },
  {
    title: "State",
    cell: stateOf,
  },
];

const SENDER_ON_PHONE = twoLines<Sender>({
  title: "Senders",
  first: (sender) => (
    <>
      {stateOf(sender)} {visibleText(sender.instance, 60)}
    </>
  ),
  second: (sender) =>
    `${formatCount(sender.captured)} captured · ${seenText(sender.lastReport)} · lost: ${lostText(sender) || "none"}`,
});

function stateOf({ state }: Sender) {
  return <span class={state === "gone" ? "change bad" : "soft"}>{state}</span>;
}

function lostText({ lost }: Pick<Sender, "lost">): string {
  return Object.entries(lost)
    .map(([reason, count]) => `${reason} ${formatExact(count)}`)
    .join(", ");
}
