/** The state before the first event: the one line for each framework, asked again every two seconds. */

import { useEffect } from "preact/hooks";
import type { Events, Me } from "../api/answers.ts";
import { ApiError, ask } from "../api/client.ts";
import { addApplication } from "../api/questions.ts";
import { application, firstEvent, me } from "../state.ts";
import { FrameworkLines } from "./FrameworkLines.tsx";

const ASK_EVERY_MS = 2000;

async function showFirst(startS: number, signal: AbortSignal): Promise<void> {
  const query = new URLSearchParams({ start: String(Math.floor(startS)), order: "asc", limit: "1" });
  addApplication(query);
  const { events } = await ask<Events>(`v1/events?${query}`, signal);
  firstEvent.value = events[0] ?? null;
}

/** Show how to send the first event, until it is there. */
export function Waiting() {
  useEffect(() => {
    const giveUp = new AbortController();
    const timer = setInterval(async () => {
      if (document.visibilityState !== "visible") return;
      try {
        const answer = await ask<Me>("v1/me", giveUp.signal);
        const first = answer.applications.find(({ id }) => id === application.value?.id)?.firstEventAt;
        if (first !== null && first !== undefined) await showFirst(Date.parse(first) / 1000, giveUp.signal);
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
      <p>Add one line to your application, with the write key of “{application.value?.name}”:</p>
      <FrameworkLines writeKey="apimetry_w_…" />
      <p>
        <code>apimetry keys show</code> prints the key, and <em>Settings, Keys</em> makes another one. The application
        needs <code>pip install apimetry</code>, or the path of a checkout.
      </p>
      <p>
        Sent something and nothing shows? Run <code>apimetry doctor</code>.
      </p>
    </section>
  );
}
