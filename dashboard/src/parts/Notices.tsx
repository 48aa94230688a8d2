/** What stands above the panels of a page: what of the address cannot be read, what is missing, the first event. */

import { missingShards } from "../api/client.ts";
import { formatDuration, shardWords, visibleText } from "../format.ts";
import { application, badParts, firstEvent, me, showWith, view } from "../state.ts";

/** Show the notices of the page. */
export function Notices() {
  const first = firstEvent.value;
  return (
    <>
      <BadParts />
      {view.value.isPartial && <LostShards />}
      {first !== null && (
        <p class="notice" role="status">
          First event: {first.method} {visibleText(first.url, 100)}, {formatDuration(first.response_us)}{" "}
          <button
            type="button"
            class="quiet"
            aria-label="Close"
            onClick={() => {
              firstEvent.value = null;
            }}
          >
            ×
          </button>
        </p>
      )}
    </>
  );
}

function BadParts() {
  const named = view.value.application;
  // The applications are known later than the address is read.
  const isUnknown = me.value !== null && named !== null && application.value?.id !== named;
  const parts = [...badParts.value, ...(isUnknown ? [`app=${named}`] : [])];
  if (parts.length === 0) return null;
  return (
    <p class="notice" role="alert">
      This part of the address cannot be read: {parts.join("; ")}. The rest is shown.
    </p>
  );
}

function LostShards() {
  const shards = missingShards.value;
  if (shards.length === 0) return null;
  return (
    <p class="notice bad" role="alert">
      {shardWords(shards)} of the store {shards.length === 1 ? "does" : "do"} not answer. The numbers below are those
      of the other shards: counts are too low, and each number that is not whole has a *.{" "}
      <button type="button" onClick={() => showWith({ isPartial: false })}>
        Show whole numbers only
      </button>
    </p>
  );
}
