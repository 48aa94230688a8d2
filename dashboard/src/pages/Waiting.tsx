/** The state before the first event: the one line for each framework, asked again every two seconds. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Events, Me, NewKey } from "../api/answers.ts";
import { ApiError, ask, change } from "../api/client.ts";
import { addApplication } from "../api/questions.ts";
import { Problem, useRefusal } from "../parts/Form.tsx";
import { application, applicationName, firstEvent, me, reachedS, refresh, showWith, view } from "../state.ts";
import { FrameworkLines } from "./FrameworkLines.tsx";

const ASK_EVERY_MS = 2000;
const QUARTER_S = 900;

async function showFirst(startS: number, signal: AbortSignal): Promise<void> {
  const query = new URLSearchParams({ start: String(Math.floor(startS)), order: "asc", limit: "1" });
  addApplication(query);
  const { events } = await ask<Events>(`v1/events?${query}`, signal);
  firstEvent.value = events[0] ?? null;
}

/** Show how to send the first event, until it is there. */
export function Waiting() {
  const made = useSignal("");
  const { problem, run } = useRefusal();
  const make = () =>
    run(async () => {
      const body = { kind: "write", name: "first application", application: application.value?.id };
      made.value = (await change<NewKey>("POST", "api/keys", body)).secret;
    });
  useEffect(() => {
    const giveUp = new AbortController();
    const timer = setInterval(async () => {
      if (document.visibilityState !== "visible") return;
      try {
        const answer = await ask<Me>("v1/me", giveUp.signal);
        const first = answer.applications.find(({ id }) => id === application.value?.id)?.firstEventAt;
        if (first !== null && first !== undefined) {
          const [firstS, nowS] = [Date.parse(first) / 1000, Date.now() / 1000];
          // A range does not reach the newest seconds. Without the event in it, the page would begin with zeros.
          if (reachedS(nowS) < firstS + 1) return;
          await showFirst(firstS, giveUp.signal);
          if (view.value.range !== null && nowS - firstS < QUARTER_S) showWith({ range: "15m" });
          refresh();
        }
        me.value = answer;
      } catch (error) {
        if (!(error instanceof ApiError) && !giveUp.signal.aborted) throw error;
      }
    }, ASK_EVERY_MS);
    return () => {
      clearInterval(timer);
      giveUp.abort();
    };
  }, []);
  return (
    <section class="waiting" aria-labelledby="waiting">
      <h2 id="waiting">Waiting for the first event.</h2>
      <p>Add one line to your application, with the write key of “{applicationName(application.value?.id)}”:</p>
      <FrameworkLines writeKey={made.value || "apimetry_w_…"} />
      {made.value === "" ? (
        <p class="actions">
          <span>
            <code>apimetry keys show</code> prints the key.
          </span>
          {me.value?.kind === "admin" && (
            <button type="button" onClick={make}>
              Make another one
            </button>
          )}
        </p>
      ) : (
        <p role="status">This key is new, and is shown once. The line above has it.</p>
      )}
      <Problem text={problem.value} />
      <p>
        The application needs <code>pip install apimetry</code>, or the path of a checkout.
      </p>
      <p>
        Sent something and nothing shows? Run <code>apimetry doctor</code>.
      </p>
    </section>
  );
}
