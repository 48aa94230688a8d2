/** Requests: the single requests, past and live. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Events, StoredEvent, Timeseries } from "../api/answers.ts";
import { ApiError, ask, headersFor, ROOT } from "../api/client.ts";
import { follow } from "../api/live.ts";
import { granularity, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { isUnfinished } from "../buckets.ts";
import { STATUS_TOKENS } from "../charts/colours.ts";
import { FIELDS, withFilter } from "../filters.ts";
import { formatBytes, formatCount, formatDuration, formatExact, visibleText } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { Panel, save } from "../parts/Panel.tsx";
import { Table } from "../parts/Table.tsx";
import { stepSeconds } from "../ranges.ts";
import { frame, me, showWith, view, zone } from "../state.ts";
import { traceAddress } from "../traces.ts";
import { formatTime } from "../zones.ts";
import { EVENT_COLUMNS, eventTable } from "./event_columns.tsx";
import { isEmpty, linesOf, tableOf } from "./Overview.tsx";

const CLASSES = ["5xx", "4xx", "3xx", "2xx"];
const MAX_KEPT = 500;
const EXPORTED = 10_000;

/** Show the requests of the range, newest first, or those that arrive now. */
export function Requests() {
  const isLive = view.value.own.live === "1";
  return (
    <>
      <OverTime />
      <div class="actions">
        <button
          type="button"
          aria-pressed={isLive}
          onClick={() => {
            const { live, ...own } = view.value.own;
            showWith({ own: live === undefined ? { ...own, live: "1" } : own });
          }}
        >
          ● Live
        </button>
        <Exports />
      </div>
      {isLive ? <Live /> : <Past />}
    </>
  );
}

function OverTime() {
  const { countStep, endS } = frame.value;
  const resource = useQuestion<Timeseries>(
    timeseries({ ...granularity(countStep), group: "status_class", fill: "zero" }),
  );
  return (
    <Panel
      title="Requests over time"
      resource={resource}
      height={110}
      isEmpty={isEmpty}
      table={(data) => tableOf(data, CLASSES)}
    >
      {(data) => {
        const { times, lines } = linesOf(data, CLASSES, (name) => STATUS_TOKENS[name] ?? "--other");
        return (
          <Chart
            kind="bars"
            description="Requests over time; drag to narrow the range"
            height={90}
            times={times}
            lines={lines}
            stepS={stepSeconds(countStep)}
            isUnfinished={isUnfinished(times, stepSeconds(countStep), endS, Date.now() / 1000)}
            format={formatCount}
          />
        );
      }}
    </Panel>
  );
}

function Past() {
  const address = question("v1/events", { limit: 50 });
  const first = useQuestion<Events>(address);
  const further = useSignal<Events[]>([]);
  const isLoading = useSignal(false);
  useEffect(() => {
    further.value = [];
  }, [address]);
  const more = async (cursor: string) => {
    if (address === null) return;
    isLoading.value = true;
    try {
      const page = await ask<Events>(`${address}&cursor=${encodeURIComponent(cursor)}`, new AbortController().signal);
      further.value = [...further.value, page];
    } finally {
      isLoading.value = false;
    }
  };
  return (
    <Panel
      title="Requests"
      resource={first}
      height={480}
      table={(data) => eventTable([data, ...further.value].flatMap((page) => page.events).slice(0, MAX_KEPT))}
      isEmpty={(data) => data.events.length === 0 && data.complete && data.next === null}
    >
      {(data) => {
        const pages = [data, ...further.value];
        const events = pages.flatMap((page) => page.events).slice(0, MAX_KEPT);
        const last = pages.at(-1) ?? data;
        return (
          <>
            <EventTable events={events} />
            <p class="soft foot">
              {formatExact(events.length)} requests
              {last.complete ? "" : ` · searched back to ${formatTime(last.searched.start, zone.value, true)}`}
              {last.next !== null && events.length < MAX_KEPT && (
                <button type="button" disabled={isLoading.value} onClick={() => more(last.next ?? "")}>
                  {last.complete ? "Load more" : "Search further back"}
                </button>
              )}
            </p>
          </>
        );
      }}
    </Panel>
  );
}

function Live() {
  const events = useSignal<StoredEvent[]>([]);
  const waiting = useSignal<StoredEvent[]>([]);
  const isPaused = useSignal(false);
  const note = useSignal("");
  const address = useRef("");
  address.current = (question("v1/events/live") ?? "").replace(/start=\d+&end=\d+&?/, "");
  const path = address.current;
  useEffect(() => {
    const giveUp = new AbortController();
    events.value = [];
    const onVisibility = () => {
      if (document.visibilityState === "hidden") giveUp.abort();
    };
    document.addEventListener("visibilitychange", onVisibility);
    follow(
      path,
      {
        onEvent: (event) => {
          if (isPaused.value) waiting.value = [event, ...waiting.value].slice(0, MAX_KEPT);
          else events.value = [event, ...events.value].slice(0, MAX_KEPT);
        },
        onThinned: (shown, of) => {
          note.value = `${formatExact(shown)} of ${formatExact(of)}/s shown`;
        },
        onEnd: (reason) => {
          note.value = reason;
        },
      },
      giveUp.signal,
    );
    return () => {
      document.removeEventListener("visibilitychange", onVisibility);
      giveUp.abort();
    };
  }, [path]);
  const resume = () => {
    events.value = [...waiting.value, ...events.value].slice(0, MAX_KEPT);
    waiting.value = [];
    isPaused.value = false;
  };
  return (
    <section class="panel" aria-label="Live requests">
      <p class="soft" role="status">
        {isPaused.value ? (
          <>
            Paused, {formatExact(waiting.value.length)} new.{" "}
            <button type="button" onClick={resume}>
              Resume
            </button>
          </>
        ) : (
          note.value || "Requests appear here as they arrive."
        )}
      </p>
      <div
        onPointerEnter={() => {
          isPaused.value = true;
        }}
        onPointerLeave={resume}
        onFocusCapture={() => {
          isPaused.value = true;
        }}
      >
        <EventTable events={events.value} />
      </div>
    </section>
  );
}

function EventTable({ events }: { events: readonly StoredEvent[] }) {
  const opened = view.value.own.event;
  return (
    <Table
      caption="Requests, newest first"
      rows={events}
      keyOf={(event) => event.id}
      isOpen={(event) => event.id === opened}
      onOpen={(event) => {
        const { event: _, ...own } = view.value.own;
        showWith({ own: event.id === opened ? own : { ...own, event: event.id } });
      }}
      detail={(event) => <Detail event={event} />}
      columns={[
        ...EVENT_COLUMNS,
        {
          title: "",
          cell: (event) => (
            <button
              type="button"
              class="quiet"
              aria-expanded={event.id === opened}
              onClick={() => {
                const { event: _, ...own } = view.value.own;
                showWith({ own: event.id === opened ? own : { ...own, event: event.id } });
              }}
            >
              Details
            </button>
          ),
        },
      ]}
    />
  );
}

function Detail({ event }: { event: StoredEvent }) {
  const around = { startS: Math.floor(event.timestamp) - 60, endS: Math.floor(event.timestamp) + 60 };
  return (
    <div class="details">
      <dl>
        {Object.entries(event).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{name === "data" ? <DataMap data={event.data} /> : <DetailValue name={name} value={value} />}</dd>
          </div>
        ))}
      </dl>
      <p class="actions">
        {event.consumer_id !== undefined && (
          <button
            type="button"
            onClick={() =>
              showWith({
                range: null,
                span: around,
                filters: withFilter([], { field: "consumer_id", value: event.consumer_id ?? "", kind: "is" }),
              })
            }
          >
            Same consumer ±1 min
          </button>
        )}
        <button type="button" onClick={() => navigator.clipboard.writeText(JSON.stringify(event, null, 2))}>
          Copy as JSON
        </button>
        {event.sample_weight > 1 && <span class="soft">Stands for {event.sample_weight} requests.</span>}
      </p>
    </div>
  );
}

function DetailValue({ name, value }: { name: string; value: unknown }) {
  const field = FIELDS.find((known) => known === name);
  const text = visibleText(value === null ? "unknown" : String(value), 2000);
  if (name === "timestamp") return <>{formatTime(Number(value), zone.value, true)}</>;
  if (name.endsWith("_us") && typeof value === "number")
    return <>{`${formatDuration(value)} (${formatExact(value)} µs)`}</>;
  if (name.endsWith("_bytes") && typeof value === "number")
    return <>{`${formatBytes(value)} (${formatExact(value)})`}</>;
  if (field === undefined) return <>{text}</>;
  return (
    <>
      {text}{" "}
      <button
        type="button"
        class="quiet"
        onClick={() =>
          showWith({ filters: withFilter(view.value.filters, { field, value: String(value), kind: "is" }) })
        }
      >
        filter
      </button>
    </>
  );
}

function DataMap({ data }: { data: Record<string, string> }) {
  const entries = Object.entries(data);
  if (entries.length === 0) return <>–</>;
  return (
    <ul>
      {entries.map(([name, value]) => (
        <li key={name}>
          {visibleText(name)}: <DataValue name={name} value={value} />
        </li>
      ))}
    </ul>
  );
}

function DataValue({ name, value }: { name: string; value: string }) {
  const address = name === "trace_id" ? traceAddress(me.value?.traceUrl, value) : null;
  if (address === null) return <>{visibleText(value, 1000)}</>;
  return (
    <a href={address} target="_blank" rel="noreferrer">
      {value}
    </a>
  );
}

function Exports() {
  const problem = useSignal("");
  const run = async (format: "csv" | "ndjson") => {
    problem.value = "";
    const address = question("v1/export/events", { format, order: "desc", limit: EXPORTED });
    if (address === null) return;
    try {
      const response = await fetch(new URL(address, ROOT), { headers: headersFor() });
      if (!response.ok) throw new ApiError(response.status, `The service answered ${response.status}.`);
      save(await response.blob(), `requests.${format}`);
    } catch (error) {
      problem.value = error instanceof ApiError ? error.message : "The export broke off.";
    }
  };
  return (
    <>
      <button type="button" onClick={() => run("csv")}>
        CSV, last {formatExact(EXPORTED)} as stored
      </button>
      <button type="button" onClick={() => run("ndjson")}>
        NDJSON
      </button>
      {problem.value !== "" && <span role="alert">{problem.value}</span>}
    </>
  );
}
