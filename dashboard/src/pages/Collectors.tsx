/** What collectors say of themselves: what they rejected, what is in quarantine, and their spools. For admin keys. */

import { type Signal, useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Collectors as Answer } from "../api/answers.ts";
import { type Resource, useQuestion } from "../api/resource.ts";
import { formatBytes, formatCount, formatDuration, visibleText } from "../format.ts";
import { Problem } from "../parts/Form.tsx";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { recordTable } from "../parts/records.ts";
import { type Column, Table } from "../parts/Table.tsx";
import { twoLines } from "../parts/two_lines.tsx";
import { adminKey } from "../session.ts";
import { me, refreshes } from "../state.ts";
import { seenText } from "./figures.tsx";
import { useManaged } from "./managed.ts";
import { type Rejection, rejections, type SetAside, setAside } from "./not_stored.ts";
import { Unlock } from "./Unlock.tsx";

type Collector = Answer["collectors"][number];

const NAMES = [
  "id",
  "version",
  "state",
  "spoolBytes",
  "spoolLimitBytes",
  "spoolFreeBytes",
  "segments",
  "oldestSegmentS",
  "received",
  "stored",
  "rejected",
  "rejectedAt",
  "quarantined",
  "quarantine",
  "lastReport",
] as const;

/** Show the collectors; who reads is asked for an admin key first. */
export function Collectors() {
  if (me.value?.kind === "admin") return <Asked />;
  return adminKey.value === null ? <Locked /> : <Unlocked />;
}

function Locked() {
  const isEntering = useSignal(false);
  if (isEntering.value) return <Unlock />;
  return (
    <section class="panel" aria-label="Collectors">
      <header>
        <h2>Collectors</h2>
      </header>
      <div class="state">
        <p>What collectors reject, hold and set aside needs an admin key: it is about all organizations.</p>
        <p class="actions">
          <button
            type="button"
            onClick={() => {
              isEntering.value = true;
            }}
          >
            Enter one
          </button>
        </p>
      </div>
    </section>
  );
}

/** The collectors, as the admin key that Settings holds may see them. */
function Unlocked() {
  const { data, problem, load } = useManaged<Answer>("api/collectors");
  const refresh = refreshes.value;
  useEffect(() => {
    load();
  }, [refresh]);
  const resource = useComputed<Resource<Answer>>(() => ({
    data: data.value,
    isCurrent: data.value !== null,
    isAsking: data.value === null,
    error: null,
    answeredAtS: null,
    askedAtMs: performance.now(),
    againAtMs: null,
    isStopped: false,
    stop: () => {},
    again: load,
  }));
  if (problem.value !== "") return <Problem text={problem.value} />;
  return <Figures resource={resource} />;
}

function Asked() {
  return <Figures resource={useQuestion<Answer>("api/collectors")} />;
}

const REJECTED: readonly Column<Rejection>[] = [
  { title: "Reason", cell: ({ reason }) => reason },
  { title: "Events", isNumber: true, cell: ({ events }) => formatCount(events) },
  { title: "Last", cell: ({ lastAt }) => seenText(lastAt) },
  { title: "Collector", cell: ({ collector }) => collector },
];

const REJECTED_ON_PHONE = twoLines<Rejection>({
  title: "Rejected events",
  first: ({ reason, events }) => `${formatCount(events)} ${reason}`,
  second: ({ lastAt, collector }) => `last ${seenText(lastAt)} · ${collector}`,
});

const SET_ASIDE: readonly Column<SetAside>[] = [
  { title: "Pieces", isNumber: true, cell: ({ pieces }) => countText(pieces) },
  { title: "Rows", isNumber: true, cell: ({ rows }) => countText(rows) },
  { title: "Newest reason", cell: ({ reason }) => visibleText(reason, 200) || "–" },
  { title: "Since the start", isNumber: true, cell: ({ events }) => formatCount(events) },
  { title: "Collector", cell: ({ collector }) => collector },
];

const SET_ASIDE_ON_PHONE = twoLines<SetAside>({
  title: "Pieces in quarantine",
  first: ({ pieces, rows, collector }) => `${countText(pieces)} pieces, ${countText(rows)} rows · ${collector}`,
  second: ({ reason }) => visibleText(reason, 200) || "–",
});

const SPOOLS: readonly Column<Collector>[] = [
  { title: "Collector", cell: ({ id }) => id },
  { title: "State", cell: stateOf },
  { title: "Spool", isNumber: true, cell: spoolText },
  { title: "Free on its disk", isNumber: true, cell: freeText },
  { title: "Segments", isNumber: true, cell: ({ segments }) => formatCount(segments) },
  { title: "Oldest", isNumber: true, cell: oldestText },
  { title: "Received", isNumber: true, cell: ({ received }) => formatCount(received) },
  { title: "Stored", isNumber: true, cell: ({ stored }) => formatCount(stored) },
  { title: "Version", cell: ({ version }) => version },
  { title: "Last report", cell: ({ lastReport }) => seenText(lastReport) },
];

const SPOOL_ON_PHONE = twoLines<Collector>({
  title: "Collectors",
  first: (collector) => (
    <>
      {stateOf(collector)} {collector.id}
    </>
  ),
  second: (collector) =>
    `${spoolText(collector)} · free: ${freeText(collector)} · oldest ${oldestText(collector)} · ${seenText(collector.lastReport)}`,
});

function Figures({ resource }: { resource: Signal<Resource<Answer>> }) {
  const byPhone = isPhone.value;
  return (
    <>
      <div class="grid two">
        <Panel
          title="Rejected by collectors"
          height={80}
          resource={resource}
          isEmpty={({ collectors }) => rejections(collectors).length === 0}
          empty={<p class="state">Nothing was rejected since the collectors began.</p>}
          table={({ collectors }) => recordTable(rejections(collectors), ["reason", "events", "lastAt", "collector"])}
        >
          {({ collectors }) => (
            <Table
              caption="Rejected events, since the collectors began"
              rows={rejections(collectors)}
              keyOf={({ collector, reason }) => `${reason} ${collector}`}
              columns={byPhone ? [REJECTED_ON_PHONE] : REJECTED}
            />
          )}
        </Panel>
        <Panel
          title="Quarantine"
          height={80}
          resource={resource}
          isEmpty={({ collectors }) => setAside(collectors).length === 0}
          empty={<p class="state">Nothing is in quarantine.</p>}
          table={({ collectors }) =>
            recordTable(setAside(collectors), ["collector", "pieces", "rows", "reason", "events"])
          }
        >
          {({ collectors }) => (
            <Table
              caption="What the store refused and what is damaged, by collector"
              rows={setAside(collectors)}
              keyOf={({ collector }) => collector}
              columns={byPhone ? [SET_ASIDE_ON_PHONE] : SET_ASIDE}
            />
          )}
        </Panel>
      </div>
      <Panel
        title="Spools"
        height={80}
        resource={resource}
        isEmpty={({ collectors }) => collectors.length === 0}
        empty={<p class="state">No collector has reported yet.</p>}
        table={({ collectors }) => recordTable(collectors, NAMES)}
      >
        {({ collectors }) => (
          <Table
            caption="Collectors and their spools"
            rows={collectors}
            keyOf={({ id }) => id}
            columns={byPhone ? [SPOOL_ON_PHONE] : SPOOLS}
          />
        )}
      </Panel>
    </>
  );
}

function stateOf({ state }: Collector) {
  return <span class={state === "ok" ? "soft" : "change bad"}>{state}</span>;
}

function spoolText({ spoolBytes, spoolLimitBytes }: Collector): string {
  return `${formatBytes(spoolBytes)} of ${formatBytes(spoolLimitBytes)}`;
}

/** Return the free room; where the disk is full before the spool is, that matters more than the spool's limit. */
function freeText({ spoolFreeBytes, spoolBytes, spoolLimitBytes }: Collector): string {
  if (spoolFreeBytes === null) return "–";
  const isShort = spoolFreeBytes < spoolLimitBytes - spoolBytes;
  return `${formatBytes(spoolFreeBytes)}${isShort ? ", less than the spool may take" : ""}`;
}

function oldestText({ oldestSegmentS }: Collector): string {
  return oldestSegmentS === 0 ? "none" : formatDuration(oldestSegmentS * 1e6);
}

function countText(count: number | null): string {
  return count === null ? "–" : formatCount(count);
}
