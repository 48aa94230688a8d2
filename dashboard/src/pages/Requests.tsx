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

/** A list that somebody reads, or whose older pages are open: it stays at its end meanwhile. */
interface Held {
  scope: string;
  address: string;
}

function Past({ inAll }: { inAll: number | null }) {
  const now = question("v1/events", { limit: 50 });
  const held = useSignal<Held | null>(null);
  // A refresh moves the end of the range; a change of the view changes more.
  const scope = `${view.value.range} ${now?.replace(/(start|end)=\d+&/g, "")}`;
  const isHeld = held.value?.scope === scope;
  const address = isHeld ? (held.value?.address ?? now) : now;
  const first = useQuestion<Events>(address);
  const further = useSignal<readonly Events[]>([]);
  const reader = usePresence();
  useEffect(() => {
    if (reader.isHere && !isHeld && now !== null) held.value = { scope, address: now };
    if (!reader.isHere && further.value.length === 0) held.value = null;
  }, [reader.isHere, isHeld, now, scope]);
  // The list has a newer end, or would begin anew.
  const isBehind = isHeld && (address !== now || further.value.length > 0);
  const isLoading = useSignal(false);
  const { problem, run } = useRefusal();
  useEffect(() => {
    further.value = [];
  }, [address]);
  const more = async (cursor: string) => {
    if (address === null) return;
    held.value = { scope, address };
    isLoading.value = true;
    await run(async () => {
      const page = await ask<Events>(`${address}&cursor=${encodeURIComponent(cursor)}`, new AbortController().signal);
      further.value = [...further.value, page];
    });
    isLoading.value = false;
  };
  const { event: opened } = view.value.own;
  const eventsOf = (data: Events) => [data, ...further.value].flatMap((page) => page.events).slice(0, MAX_KEPT);
  const { data } = first.value;
  const isListed = data === null || eventsOf(data).some(({ id }) => id === opened);
  return (
    <>
      {opened !== undefined && !isListed && <OpenedEvent id={opened} />}
      <Panel
        title="Requests"
        resource={first}
        height={480}
        table={(answer) => eventTable(eventsOf(answer))}
        isEmpty={(answer) => answer.events.length === 0 && answer.complete && answer.next === null}
      >
        {(answer) => {
          const events = eventsOf(answer);
          const last = further.value.at(-1) ?? answer;
          return (
            <div {...reader.listeners}>
              <EventTable events={events} />
              <p class="soft foot">
                {formatExact(events.length)}
                {inAll === null || isBehind ? "" : ` of ${formatRequests(inAll)}`} requests
                {last.complete ? "" : ` · searched back to ${formatTime(last.searched.start, zone.value, true)}`}
                {last.next !== null && events.length < MAX_KEPT && (
                  <button type="button" disabled={isLoading.value} onClick={() => more(last.next ?? "")}>
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
