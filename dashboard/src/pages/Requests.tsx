/** Requests: the single requests, past and live. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Events, Timeseries } from "../api/answers.ts";
import { ApiError, ask, headersFor, ROOT } from "../api/client.ts";
import { question } from "../api/questions.ts";
import { type Resource, useQuestion } from "../api/resource.ts";
import { formatExact } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { ColumnMenu } from "../parts/ColumnMenu.tsx";
import { Problem, useRefusal } from "../parts/Form.tsx";
import { Panel, save } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { usePresence } from "../parts/presence.ts";
import { stepSeconds } from "../ranges.ts";
import { formatRequests } from "../sampling.ts";
import { frame, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { OpenedEvent } from "./EventDetail.tsx";
import { EventTable, MAX_KEPT } from "./EventTable.tsx";
import { COLUMN_NAMES, eventTable, USUAL_COLUMNS } from "./event_columns.tsx";
import { Live } from "./Live.tsx";
import { isEmpty, requestLines, requestsOverTime, requestTable } from "./series.ts";
import { NO_FILTERS, useDeploys } from "./TimePanels.tsx";

const EXPORTED = 10_000;

/** Show the requests of the range, newest first, or those that arrive now. */
export function Requests() {
  const { live, event } = view.value.own;
  const isLive = live === "1";
  const { countStep } = frame.value;
  // The question of the Overview: who comes from there waits for no answer.
  const overTime = useQuestion<Timeseries>(requestsOverTime(countStep, NO_FILTERS));
  if (isPhone.value && event !== undefined) return <OpenedEvent id={event} />;
  return (
    <>
      <OverTime resource={overTime} />
      <div class="actions">
        <button
          type="button"
          aria-pressed={isLive}
          onClick={() => {
            const { live: _, ...own } = view.value.own;
            showWith({ own: isLive ? own : { ...own, live: "1" } });
          }}
        >
          ● Live
        </button>
        {!isPhone.value && <ColumnMenu names={COLUMN_NAMES} usual={USUAL_COLUMNS} />}
        <Exports />
      </div>
      {isLive ? <Live /> : <Past inAll={requestsIn(overTime.value)} />}
    </>
  );
}

/** Return how many requests the range has, or null where that is not known. */
function requestsIn({ data, isCurrent }: Resource<Timeseries>): number | null {
  if (data === null || !isCurrent) return null;
  return Object.values(data.groups)
    .flat()
    .reduce((sum, [, count]) => sum + (count ?? 0), 0);
}

function OverTime({ resource }: { resource: Signal<Resource<Timeseries>> }) {
  const { countStep } = frame.value;
  const markers = useDeploys();
  return (
    <Panel title="Requests over time" resource={resource} height={110} isEmpty={isEmpty} table={requestTable}>
      {(data) => {
        const { times, lines } = requestLines(data);
        return (
          <Chart
            kind="bars"
            description="Requests over time; drag to narrow the range"
            height={90}
            times={times}
            lines={lines}
            stepS={stepSeconds(countStep)}
            format={formatRequests}
            markers={markers}
          />
        );
      }}
    </Panel>
  );
}

/** A list with the pointer in it, or whose older pages are open: it stays as it is meanwhile. The focus stays on its
 * request by itself. */
interface Held {
  scope: string;
  address: string;
  answer: Events;
}

function Past({ inAll }: { inAll: number | null }) {
  const address = question("v1/events", { limit: 50 });
  const first = useQuestion<Events>(address);
  const held = useSignal<Held | null>(null);
  const further = useSignal<readonly Events[]>([]);
  const reader = usePresence();
  const isLoading = useSignal(false);
  const { problem, run } = useRefusal();
  // A refresh moves the end of the range; a change of the view changes more.
  const scope = `${view.value.range} ${address?.replace(/(start|end)=\d+&/g, "")}`;
  const { data, isCurrent } = first.value;
  const kept = held.value?.scope === scope ? held.value : null;
  const isBehind = kept !== null && (kept.answer !== data || further.value.length > 0);
  useEffect(() => {
    further.value = [];
  }, [scope]);
  useEffect(() => {
    if (!reader.isPointed && further.value.length === 0) held.value = null;
    else if (kept === null && address !== null && data !== null && isCurrent) {
      held.value = { scope, address, answer: data };
    }
  }, [reader.isPointed, kept, address, data, isCurrent, scope]);
  const more = async ({ next }: Events) => {
    const list = kept ?? (address !== null && data !== null ? { scope, address, answer: data } : null);
    if (list === null || next === null) return;
    held.value = list;
    isLoading.value = true;
    await run(async () => {
      const page = await ask<Events>(
        `${list.address}&cursor=${encodeURIComponent(next)}`,
        new AbortController().signal,
      );
      further.value = [...further.value, page];
    });
    isLoading.value = false;
  };
  const { event: opened } = view.value.own;
  const shownOf = (answer: Events) => kept?.answer ?? answer;
  const eventsOf = (answer: Events) =>
    [shownOf(answer), ...further.value].flatMap(({ events }) => events).slice(0, MAX_KEPT);
  const isListed = data === null || eventsOf(data).some(({ id }) => id === opened);
  return (
    <>
      {opened !== undefined && !isListed && <OpenedEvent id={opened} />}
      <Panel
        title="Requests"
        resource={first}
        height={480}
        table={(answer) => eventTable(eventsOf(answer))}
        isEmpty={(answer) => {
          const { events, complete, next } = shownOf(answer);
          return events.length === 0 && complete && next === null;
        }}
      >
        {(answer) => {
          const events = eventsOf(answer);
          const last = further.value.at(-1) ?? shownOf(answer);
          return (
            <div {...reader.listeners}>
              <EventTable events={events} />
              <p class="soft foot">
                {formatExact(events.length)}
                {inAll === null || isBehind ? "" : ` of ${formatRequests(inAll)}`} requests
                {last.complete ? "" : ` · searched back to ${formatTime(last.searched.start, zone.value, true)}`}
                {last.next !== null && events.length < MAX_KEPT && (
                  <button type="button" disabled={isLoading.value} onClick={() => more(last)}>
                    {last.complete ? "Load more" : "Search further back"}
                  </button>
                )}
                {isBehind && (
                  <button
                    type="button"
                    onClick={() => {
                      reader.forget();
                      held.value = null;
                      further.value = [];
                    }}
                  >
                    Newest
                  </button>
                )}
              </p>
              <Problem text={problem.value} />
            </div>
          );
        }}
      </Panel>
    </>
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
