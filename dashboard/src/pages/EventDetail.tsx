/** One request with all of its fields: below its row, above the list, or as a page of its own on a phone. */

import { useEffect, useRef } from "preact/hooks";
import type { StoredEvent } from "../api/answers.ts";
import { addApplication } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { FIELDS, withFilter } from "../filters.ts";
import { formatBytes, formatDuration, formatExact, visibleText } from "../format.ts";
import { copyText } from "../parts/copy.ts";
import { valueText } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { me, showWith, view } from "../state.ts";
import { traceAddress } from "../traces.ts";
import { eventTime } from "./event_columns.tsx";

/** The detail alone cuts no text. */
const WHOLE = Number.POSITIVE_INFINITY;

/** Open a request, or close the one that is open. */
export function openEvent(id: string): void {
  const { event, ...own } = view.value.own;
  showWith({ own: event === id ? own : { ...own, event: id } });
}

/** Show the request that the address names, whether or not a list has it. */
export function OpenedEvent({ id }: { id: string }) {
  const query = new URLSearchParams();
  addApplication(query);
  const resource = useQuestion<StoredEvent>(`v1/events/${encodeURIComponent(id)}?${query}`);
  const back = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (isPhone.value) back.current?.focus();
  }, [id]);
  return (
    <Panel
      title="Request"
      resource={resource}
      height={320}
      controls={
        <button ref={back} type="button" onClick={() => openEvent(id)}>
          ‹ All requests
        </button>
      }
    >
      {(event) => <Detail event={event} />}
    </Panel>
  );
}

/** Show every field of a request, and what to do with it. */
export function Detail({ event }: { event: StoredEvent }) {
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
        {(event.consumer_id ?? "") !== "" && (
          <button
            type="button"
            onClick={() =>
              showWith({
                range: null,
                span: around,
                own: {},
                filters: withFilter([], { field: "consumer_id", value: event.consumer_id ?? "", kind: "is" }),
              })
            }
          >
            Same consumer ±1 min
          </button>
        )}
        <button type="button" onClick={() => copyText(JSON.stringify(event, null, 2), "Request")}>
          Copy as JSON
        </button>
        {event.sample_weight > 1 && <span class="soft">Stands for {event.sample_weight} requests.</span>}
      </p>
    </div>
  );
}

function DetailValue({ name, value }: { name: string; value: unknown }) {
  const field = FIELDS.find((known) => known === name);
  const text = visibleText(value === null ? "unknown" : String(value), WHOLE);
  if (name === "timestamp") return <>{eventTime(Number(value))}</>;
  if (name.endsWith("_us") && typeof value === "number")
    return <>{`${formatDuration(value)} (${formatExact(value)} µs)`}</>;
  if (name.endsWith("_bytes") && typeof value === "number")
    return <>{`${formatBytes(value)} (${formatExact(value)})`}</>;
  if (field === undefined) return <>{text}</>;
  return (
    <>
      {text === "" ? <span class="soft">{valueText(field, "")}</span> : text}{" "}
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
  if (address === null) return <>{visibleText(value, WHOLE)}</>;
  return (
    <a href={address} target="_blank" rel="noreferrer">
      {value}
    </a>
  );
}
