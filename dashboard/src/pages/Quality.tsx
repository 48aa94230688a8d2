/** Data quality: is what the page shows whole, and which sender is not. */

import type { Signal } from "@preact/signals";
import type { Collectors, Quality as QualityAnswer } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { type Resource, useQuestion } from "../api/resource.ts";
import { seriesToken } from "../charts/colours.ts";
import type { Line } from "../charts/lines.ts";
import { formatBytes, formatCount, formatDuration, formatExact, visibleText } from "../format.ts";
import { badgeOf } from "../parts/Badge.tsx";
import { Chart } from "../parts/Chart.tsx";
import { notFiltered } from "../parts/not_filtered.ts";
import { Panel } from "../parts/Panel.tsx";
import { recordTable } from "../parts/records.ts";
import { Table } from "../parts/Table.tsx";
import { Tile } from "../parts/Tile.tsx";
import { application, frame, me, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { seenText } from "./figures.tsx";

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
        {(data) => <LossChart quality={data} stepS={stepS} />}
      </Panel>
      <Panel
        title="Senders"
        resource={resource}
        isEmpty={(data) => data.senders.length === 0}
        empty={<p class="state">No sender reported in this range.</p>}
        table={(data) => ({
          header: ["Sender", "Source", "Version", "Last report", "Captured", "Stored", "Pending", "State"],
          rows: data.senders.map((sender) => [
            sender.instance,
            sender.source,
            sender.version,
            sender.lastReport,
            sender.captured,
            sender.stored,
            sender.pending,
            sender.state,
          ]),
        })}
      >
        {(data) => <Senders quality={data} />}
      </Panel>
      {me.value?.kind === "admin" && <CollectorsPanel />}
      <Recorded />
    </>
  );
}

function Totals({ quality }: { quality: QualityAnswer }) {
  const { total, newestEventAt, silentSenders, withoutReports } = quality;
  const lost = Object.entries(total.lost);
  const badge = badgeOf(total);
  const collectors = useCollectors().value.data?.collectors ?? [];
  const lagS =
    collectors.length === 0 ? null : Math.max(...collectors.map(({ oldestSegmentS }) => oldestSegmentS ?? 0));
  return (
    <dl class="tile-row">
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
        note={lost.map(([reason, count]) => `${reason} ${formatExact(count)}`).join(", ")}
      />
      {lagS !== null && (
        <Tile
          label="Collector lag"
          value={lagS === 0 ? "none" : formatDuration(lagS * 1e6)}
          note="its oldest segment"
        />
      )}
      <Tile label="Newest event" value={seenText(newestEventAt)} />
      <Tile label="Without reports" value={formatCount(withoutReports)} note="JSON senders and imports" />
      <Tile label="Silent senders" value={formatCount(silentSenders)} note="with events in their buffer" />
    </dl>
  );
}

function reasonsOf(quality: QualityAnswer): string[] {
  return [...new Set(quality.series.flatMap(([, { lost }]) => Object.keys(lost)))];
}

const linesByQuality = new WeakMap<QualityAnswer, { times: number[]; lines: Line[] }>();

function LossChart({ quality, stepS }: { quality: QualityAnswer; stepS: number }) {
  let drawn = linesByQuality.get(quality);
  if (drawn === undefined) {
    drawn = {
      times: quality.series.map(([timeS]) => timeS),
      lines: [
        ...reasonsOf(quality).map((reason, index) => ({
          name: reason,
          token: index === 0 ? "--bad" : seriesToken(index),
          values: quality.series.map(([, { lost }]) => lost[reason] ?? 0),
        })),
        { name: "stored", token: "--status-2xx", values: quality.series.map(([, { stored }]) => stored) },
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
      isUnfinished={false}
      format={formatCount}
    />
  );
}

function Senders({ quality }: { quality: QualityAnswer }) {
  return (
    <Table
      caption="Senders"
      rows={quality.senders}
      keyOf={(sender) => sender.instance}
      columns={[
        { title: "Sender", cell: (sender) => visibleText(sender.instance, 60) },
        { title: "Source", isMinor: true, cell: (sender) => visibleText(sender.source, 60) },
        { title: "Version", isMinor: true, cell: (sender) => visibleText(sender.version, 60) },
        { title: "Last report", cell: (sender) => seenText(sender.lastReport) },
        { title: "Captured", isNumber: true, cell: (sender) => formatCount(sender.captured) },
        { title: "Stored", isNumber: true, cell: (sender) => formatCount(sender.stored) },
        {
          title: "Lost",
          isNumber: true,
          cell: (sender) =>
            Object.entries(sender.lost)
              .map(([reason, count]) => `${reason} ${formatExact(count)}`)
              .join(", ") || "0",
        },
        {
          title: "State",
          cell: (sender) => <span class={sender.state === "gone" ? "change bad" : "soft"}>{sender.state}</span>,
        },
      ]}
    />
  );
}

/** Return the collectors, which an admin key alone may see. */
function useCollectors(): Signal<Resource<Collectors>> {
  return useQuestion<Collectors>(me.value?.kind === "admin" ? "api/collectors" : null);
}

function CollectorsPanel() {
  const resource = useCollectors();
  return (
    <Panel
      title="Collectors"
      resource={resource}
      isEmpty={(data) => data.collectors.length === 0}
      empty={<p class="state">No collector has reported yet.</p>}
      table={(data) => {
        const names = [
          "id",
          "version",
          "state",
          "spoolBytes",
          "received",
          "stored",
          "rejected",
          "quarantined",
        ] as const;
        return recordTable(data.collectors, [...names, "lastReport"]);
      }}
    >
      {(data) => (
        <Table
          caption="Collectors"
          rows={data.collectors}
          keyOf={(collector) => collector.id}
          columns={[
            { title: "Collector", cell: (collector) => collector.id },
            {
              title: "State",
              cell: (collector) => (
                <span class={collector.state === "ok" ? "soft" : "change bad"}>{collector.state}</span>
              ),
            },
            {
              title: "Spool",
              isNumber: true,
              cell: (collector) =>
                `${formatBytes(collector.spoolBytes)} of ${formatBytes(collector.spoolLimitBytes)}`,
            },
            { title: "Received", isNumber: true, cell: (collector) => formatCount(collector.received) },
            { title: "Stored", isNumber: true, cell: (collector) => formatCount(collector.stored) },
            {
              title: "Rejected",
              isNumber: true,
              isMinor: true,
              cell: (collector) =>
                Object.entries(collector.rejected)
                  .map(([reason, count]) => `${reason} ${formatExact(count)}`)
                  .join(", ") || "0",
            },
            {
              title: "Quarantined",
              isNumber: true,
              isMinor: true,
              cell: (collector) => formatCount(collector.quarantined),
            },
            { title: "Last report", cell: (collector) => seenText(collector.lastReport) },
          ]}
        />
      )}
    </Panel>
  );
}

function Recorded() {
  const shown = application.value;
  if (shown === null) return null;
  const { consumers, versions, errorTypes, urls } = shown.recorded;
  const parts: [string, boolean][] = [
    ["consumers", consumers],
    ["versions", versions],
    ["error types", errorTypes],
    ["URLs", urls],
  ];
  return (
    <section class="panel" aria-label="What is recorded">
      <h2>What is recorded</h2>
      <ul>
        {parts.map(([name, isRecorded]) => (
          <li key={name}>
            {isRecorded ? "✓" : "–"} {name}
          </li>
        ))}
        <li>kept for {shown.retentionDays === null ? "ever" : `${shown.retentionDays} days`}</li>
      </ul>
    </section>
  );
}
