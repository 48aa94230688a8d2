/** What stands above the panels of a page: what of the address cannot be read, what is missing, the first event. */

import { onPage } from "../address.ts";
import { missingShards } from "../api/client.ts";
import { collecting } from "../collecting.ts";
import { formatDuration, shardWords, visibleText } from "../format.ts";
import { application, badParts, firstEvent, frame, me, showWith, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { Link } from "./Link.tsx";

const HOUR_S = 3600;
const QUARTER_S = 900;

/** Show the notices of the page. */
export function Notices() {
  const first = firstEvent.value;
  return (
    <>
      <BadParts />
      {view.value.isPartial && <LostShards />}
      <SilentCollectors />
      {view.value.page === "overview" && <FirstHour />}
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

/** Say that nothing new can arrive. */
function SilentCollectors() {
  const { silent = 0, known = 0, lastReport = null } = collecting.value ?? {};
  if (silent < known || lastReport === null) return null;
  return (
    <p class="notice bad" role="alert">
      No collector has reported since {formatTime(Date.parse(lastReport) / 1000, zone.value)}. Requests since then are
      not here yet, and some may be lost: see <Link to={onPage(view.value, "quality")}>Data quality</Link>.
    </p>
  );
}

/** In an application's first hour, lead from a long range, where its requests are a sliver, to a short one. */
function FirstHour() {
  const firstS = Date.parse(application.value?.firstEventAt ?? "") / 1000;
  const ageS = Date.now() / 1000 - firstS;
  const { startS, endS } = frame.value;
  if (!(ageS < HOUR_S) || endS - startS <= HOUR_S) return null;
  const [range, words] = ageS < QUARTER_S ? ["15m", "15 minutes"] : ["1h", "hour"];
  return (
    <p class="notice">
      The first request came at {formatTime(firstS, zone.value).slice(11)}.{" "}
      <Link to={{ ...view.value, range, span: null }}>Show the last {words}</Link>
    </p>
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
