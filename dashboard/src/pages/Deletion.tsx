/** Delete the events of one consumer, or of the range of the page: named, counted, typed again, and followed. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { OneJob, Summary } from "../api/answers.ts";
import { change } from "../api/client.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { formatExact } from "../format.ts";
import { useSettled } from "../parts/FilterDialog.tsx";
import { Problem, Section, setter, Text, useRefusal } from "../parts/Form.tsx";
import { adminKey } from "../session.ts";
import { application, applicationName, frame, zone } from "../state.ts";
import { formatTime } from "../zones.ts";

const FOLLOW_MS = 2000;

/** Show the form, and the deletion that it began. */
export function Deletion() {
  const what = useSignal<"consumer" | "range">("consumer");
  const consumer = useSignal("");
  const typed = useSignal("");
  const job = useSignal<OneJob["job"] | null>(null);
  const { problem, run } = useRefusal();
  const isOfConsumer = what.value === "consumer";
  const events = useCount(isOfConsumer ? consumer.value : null);
  const shown = application.value;
  if (shown === null) return null;
  const { startS, endS } = frame.value;
  const span = `${formatTime(startS, zone.value, true)} to ${formatTime(endS, zone.value, true)}`;
  // A consumer is named again; a range has no name, so the application's is typed.
  const name = isOfConsumer ? consumer.value : shown.name;
  const remove = () =>
    run(async () => {
      const path = isOfConsumer
        ? `consumers?consumer_id=${encodeURIComponent(consumer.value)}`
        : `events?start=${startS}&end=${endS}`;
      const address = `api/applications/${shown.id}/${path}`;
      job.value = (await change<OneJob>("DELETE", address, undefined, adminKey.value ?? undefined)).job;
      typed.value = "";
    });
  return (
    <Section title="Delete data">
      <p>Delete events of “{applicationName(shown.id)}”, for good. The rollups are made again without them.</p>
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          remove();
        }}
      >
        <label>
          Every event of
          <select
            value={what.value}
            onChange={(event) => {
              what.value = event.currentTarget.value === "range" ? "range" : "consumer";
              typed.value = "";
            }}
          >
            <option value="consumer">a consumer</option>
            <option value="range">the range of this page</option>
          </select>
        </label>
        {isOfConsumer ? (
          <Text label="Consumer" value={consumer.value} onInput={setter(consumer)} isRequired />
        ) : (
          <p>{span}</p>
        )}
        <Text
          label={isOfConsumer ? "The same name again" : `The application’s name, ${applicationName(shown.id)}`}
          value={typed.value}
          onInput={setter(typed)}
          isRequired
        />
        <button type="submit" class="danger" disabled={name === "" || name !== typed.value}>
          Delete{events === null ? "" : ` ${formatExact(events)} ${events === 1 ? "request" : "requests"}`}
        </button>
      </form>
      <Problem text={problem.value} />
      {job.value !== null && <Followed job={job.value} />}
    </Section>
  );
}

/** Return how many requests a deletion takes: of one consumer at all times, or of the range of the page. */
function useCount(consumer: string | null): number | null {
  const settled = useSettled(consumer ?? "", 300);
  const also = consumer === null ? [] : [{ field: "consumer_id", value: settled, kind: "is" } as const];
  const span = consumer === null ? frame.value : { startS: 0, endS: frame.value.endS };
  const isKnown = consumer === null || (settled !== "" && settled === consumer);
  const address = isKnown ? question("v1/summary", {}, { isUnfiltered: true, also, span }) : null;
  const { data, isCurrent } = useQuestion<Summary>(address).value;
  return isKnown && isCurrent ? (data?.requests ?? null) : null;
}

/** Show how far a deletion is, until it is done. */
function Followed({ job: begun }: { job: OneJob["job"] }) {
  const job = useSignal(begun);
  const { problem, run } = useRefusal();
  useEffect(() => {
    job.value = begun;
    if (begun.state === "done") return;
    const timer = setInterval(async () => {
      await run(async () => {
        const address = `api/jobs/${encodeURIComponent(begun.id)}`;
        job.value = (await change<OneJob>("GET", address, undefined, adminKey.value ?? undefined)).job;
      });
      if (job.value.state === "done") clearInterval(timer);
    }, FOLLOW_MS);
    return () => clearInterval(timer);
  }, [begun]);
  const { state, consumer, rewriting } = job.value;
  const parts = rewriting.reduce((sum, { partsLeft }) => sum + partsLeft, 0);
  return (
    <>
      <p class="notice" role="status">
        The deletion of {consumer === null ? "the range" : `“${consumer}”`} is {state}.
        {parts > 0 && ` The store rewrites ${formatExact(parts)} parts.`}
      </p>
      <Problem text={problem.value} />
    </>
  );
}
