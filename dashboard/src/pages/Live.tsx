/** Requests as they arrive. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { StoredEvent } from "../api/answers.ts";
import { follow } from "../api/live.ts";
import { question } from "../api/questions.ts";
import { formatExact } from "../format.ts";
import { usePresence } from "../parts/presence.ts";
import { EventTable, MAX_KEPT } from "./EventTable.tsx";

/** Show requests as they arrive: they wait while the pointer or the focus is in the table. */
export function Live() {
  const events = useSignal<readonly StoredEvent[]>([]);
  const waiting = useSignal<readonly StoredEvent[]>([]);
  const reader = usePresence();
  const isSeen = useSignal(document.visibilityState === "visible");
  const note = useSignal("");
  const isPaused = reader.isPointed || reader.isFocused;
  const paused = useRef(isPaused);
  paused.current = isPaused;
  const path = (question("v1/events/live") ?? "").replace(/start=\d+&end=\d+&?/, "");
  useEffect(() => {
    const onVisibility = () => {
      isSeen.value = document.visibilityState === "visible";
    };
    document.addEventListener("visibilitychange", onVisibility);
    return () => document.removeEventListener("visibilitychange", onVisibility);
  }, []);
  useEffect(() => {
    events.value = [];
    waiting.value = [];
  }, [path]);
  // A hidden tab holds no stream: it takes one of the few connections that a browser gives an origin.
  const shown = isSeen.value;
  useEffect(() => {
    if (!shown) return;
    const giveUp = new AbortController();
    follow(
      path,
      {
        onOpen: () => {
          note.value = "";
        },
        onEvents: (arrived) => {
          note.value = "";
          const target = paused.current ? waiting : events;
          target.value = [...arrived.toReversed(), ...target.value].slice(0, MAX_KEPT);
        },
        onThinned: (some, of) => {
          note.value = `${formatExact(some)} of ${formatExact(of)}/s shown`;
        },
        onEnd: (reason) => {
          note.value = reason;
        },
      },
      giveUp.signal,
    );
    return () => giveUp.abort();
  }, [path, shown]);
  useEffect(() => {
    if (isPaused) return;
    events.value = [...waiting.value, ...events.value].slice(0, MAX_KEPT);
    waiting.value = [];
  }, [isPaused]);
  return (
    <section class="panel" aria-label="Live requests">
      <p class="soft" role="status">
        {isPaused ? (
          <>
            Paused, {formatExact(waiting.value.length)} new.{" "}
            <button type="button" onClick={reader.forget}>
              Resume
            </button>
          </>
        ) : (
          note.value || "Requests appear here as they arrive."
        )}
      </p>
      <div {...reader.listeners}>
        <EventTable events={events.value} />
      </div>
    </section>
  );
}
