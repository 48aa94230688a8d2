/** The states of a panel in words: asking, nothing there, refused, unreachable, failed. */

import { useSignal } from "@preact/signals";
import { Component, type ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Breakdown, Summary } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import type { Resource } from "../api/resource.ts";
import { useQuestion } from "../api/resource.ts";
import { signOut } from "../api/sign_in.ts";
import { type Filter, filterWords } from "../filters.ts";
import { about, shardWords, visibleText } from "../format.ts";
import { exactRequests } from "../sampling.ts";
import { isShared } from "../shared.ts";
import { application, frame, refresh, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";

/** Say why there is no answer, and what to do. */
export function Refusal({ resource, coarsen }: { resource: Resource<unknown>; coarsen?: (() => void) | undefined }) {
  const { error, answeredAtS } = resource;
  if (error === null) return null;
  if (error.status === 400) {
    return (
      <div class="state" role="status">
        <p>{error.message}</p>
        <p class="actions">
          {coarsen !== undefined && (
            <button type="button" onClick={coarsen}>
              Coarser
            </button>
          )}
          <button type="button" onClick={shorten}>
            Shorter
          </button>
          {view.value.filters.length > 0 && (
            <button type="button" onClick={() => showWith({ filters: view.value.filters.slice(0, -1) })}>
              Fewer filters
            </button>
          )}
        </p>
      </div>
    );
  }
  if (error.status === 403) {
    return (
      <div class="state" role="status">
        <p>{error.message}</p>
        {!isShared.value && (
          <p class="actions">
            <button type="button" onClick={signOut}>
              Sign in with another key
            </button>
          </p>
        )}
      </div>
    );
  }
  const shards = shardWords(error.missingShards);
  const since = answeredAtS === null ? "" : ` since ${formatTime(answeredAtS, zone.value, true).slice(11)}`;
  const isAway = error.status === 0 || error.status === 503;
  return (
    <div class="state">
      <p>
        <span role="status">
          {shards !== ""
            ? `${shards} of the store ${error.missingShards.length === 1 ? "does" : "do"} not answer${since}, so the numbers would not be whole.`
            : isAway
              ? `Not reachable${since}.`
              : error.message}
        </span>
        {isAway && <Countdown resource={resource} />}
      </p>
      <p class="actions">
        <button type="button" onClick={refresh}>
          Now
        </button>
        {shards !== "" && !view.value.isPartial && (
          <button type="button" onClick={() => showWith({ isPartial: true })}>
            Show the rest
          </button>
        )}
      </p>
    </div>
  );
}

/** Count the seconds until a question is asked again. A screen reader is not told each of them. */
function Countdown({ resource: { againAtMs, isAsking } }: { resource: Resource<unknown> }) {
  const ticks = useSignal(0);
  useEffect(() => {
    if (againAtMs === null) return;
    const timer = setInterval(() => {
      ticks.value += 1;
    }, 250);
    return () => clearInterval(timer);
  }, [againAtMs]);
  // Each tick reads the clock anew, and so does the first look at a new time.
  void ticks.value;
  const leftS = againAtMs === null ? 0 : Math.round((againAtMs - performance.now()) / 1000);
  return <span aria-hidden="true">{isAsking || leftS <= 0 ? " Trying again." : ` Trying again in ${leftS} s.`}</span>;
}

/** Say that a person gave the question up. */
export function Stopped({ resource }: { resource: Resource<unknown> }) {
  return (
    <div class="state" role="status">
      <p>Stopped{resource.data === null ? "" : "; these are the numbers of before"}.</p>
      <p class="actions">
        <button type="button" onClick={resource.again}>
          Ask again
        </button>
      </p>
    </div>
  );
}

/** Say that nothing is in the range, or that nothing passes the filters. */
export function Nothing() {
  const { filters, slowness } = view.value;
  return filters.length > 0 || slowness !== null ? <NothingPasses /> : <NothingThere />;
}

/** Return what the page is about beside its filters: one route, one consumer, or all. */
function subjects(): Filter[] {
  const { page, own } = view.value;
  if (page === "routes" && own.route !== undefined) return [{ field: "route", value: own.route, kind: "is" }];
  if (page !== "consumers" || own.consumer === undefined) return [];
  return [{ field: "consumer_id", value: own.consumer, kind: "is" }];
}

function NothingPasses() {
  const { filters, slowness } = view.value;
  const last = filters.at(-1);
  const without = useQuestion<Summary>(
    // With both, the count without one of them is another question than the one without both.
    (last === undefined) === (slowness === null)
      ? null
      : question("v1/summary", {}, { isUnfiltered: true, also: [...filters.slice(0, -1), ...subjects()] }),
  );
  const requests = without.value.data?.requests;
  const words = last === undefined ? null : filterWords(last);
  const filter =
    words === null ? "the response time" : `${words.field} ${words.verb} ${visibleText(words.value, 60)}`;
  return (
    <div class="state" role="status">
      <p>
        No request passes these filters.
        {requests !== undefined && ` Without “${filter}” there are ${exactRequests(requests)}.`}
      </p>
      <p class="actions">
        <button
          type="button"
          onClick={() =>
            last === undefined ? showWith({ slowness: null }) : showWith({ filters: filters.slice(0, -1) })
          }
        >
          Remove {filter}
        </button>
        {filters.length + (slowness === null ? 0 : 1) > 1 && (
          <button type="button" onClick={() => showWith({ filters: [], slowness: null })}>
            Remove all filters
          </button>
        )}
      </p>
    </div>
  );
}

function NothingThere() {
  const { startS, endS } = frame.value;
  const subject = subjects()[0];
  const latest = useQuestion<Breakdown>(
    subject === undefined
      ? null
      : question(
          "v1/breakdown",
          { by: subject.field, measures: "lastSeen", limit: 1 },
          { also: [subject], span: { startS: 0, endS } },
        ),
  ).value.data;
  const lastAt = subject === undefined ? application.value?.lastEventAt : latest?.rows[0]?.lastSeen;
  const lastS = lastAt === null || lastAt === undefined ? null : Date.parse(lastAt) / 1000;
  const isThere = lastS !== null && lastS >= startS && lastS < endS;
  const [from, to] = [formatTime(startS, zone.value), formatTime(endS, zone.value)];
  // Of one route or consumer, the last request may be known to its hour.
  const endOfLastS = Math.floor(lastS ?? 0) + (about(lastAt ?? "") === "" ? 60 : 3600);
  return (
    <div class="state" role="status">
      <p>
        No requests between {from} and {from.slice(0, 10) === to.slice(0, 10) ? to.slice(11) : to} {zone.value}.
        {lastS !== null && !isThere && ` The last one was at ${about(lastAt ?? "")}${formatTime(lastS, zone.value)}.`}
      </p>
      {lastS !== null && !isThere && (
        <p class="actions">
          <button
            type="button"
            onClick={() =>
              showWith({ range: null, span: { startS: endOfLastS - (endS - startS), endS: endOfLastS } })
            }
          >
            Go there
          </button>
        </p>
      )}
    </div>
  );
}

/** Say that no request failed, of those that pass the filters. */
export function NoFailure() {
  const isNarrowed = view.value.filters.length > 0 || view.value.slowness !== null;
  return <p class="state">No request {isNarrowed ? "that passes these filters " : ""}failed in this range.</p>;
}

/** Say that the question takes long. */
export function Slow({ resource }: { resource: Resource<unknown> }) {
  const isSlow = useSignal(false);
  const { isAsking, askedAtMs } = resource;
  useEffect(() => {
    isSlow.value = false;
    if (!isAsking) return;
    const timer = setTimeout(() => {
      isSlow.value = true;
    }, 5000);
    return () => clearTimeout(timer);
  }, [isAsking, askedAtMs]);
  if (!isSlow.value || !isAsking) return null;
  return (
    <div class="slow" role="status">
      Still asking. This range is read from the events themselves.
      <button type="button" onClick={resource.stop}>
        Stop
      </button>
      {view.value.range !== "24h" && (
        <button type="button" onClick={() => showWith({ range: "24h", span: null })}>
          Use 24 h
        </button>
      )}
    </div>
  );
}

interface BoundaryState {
  error: Error | null;
}

/** Keep a failure inside of one panel. */
export class Boundary extends Component<{ children: ComponentChildren }, BoundaryState> {
  override state: BoundaryState = { error: null };

  override componentDidCatch(error: Error): void {
    // biome-ignore lint/suspicious/noConsole: a fault of the page is for whoever mends it
    console.error(error);
    this.setState({ error });
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <div class="state" role="alert">
        <p>This panel failed. The rest works.</p>
        <p class="actions">
          <button type="button" onClick={() => this.setState({ error: null })}>
            Reload it
          </button>
        </p>
      </div>
    );
  }
}

function shorten(): void {
  const { startS, endS } = frame.value;
  showWith({ range: null, span: { startS: Math.floor((startS + endS) / 2), endS } });
}
