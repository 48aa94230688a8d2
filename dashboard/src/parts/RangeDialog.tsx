/** Choose a range: a named one, or a start and an end in the page's zone. */

import { useSignal } from "@preact/signals";
import { RANGES } from "../ranges.ts";
import { frame, showWith, zone } from "../state.ts";
import { formatTime, offsetS } from "../zones.ts";
import { Dialog } from "./Dialog.tsx";
import { closeDialog } from "./dialogs.ts";

/** Show the dialog that chooses a range. */
export function RangeDialog() {
  const { startS, endS } = frame.value;
  const start = useSignal(fieldText(startS));
  const end = useSignal(fieldText(endS));
  const span = { startS: readField(start.value), endS: readField(end.value) };
  const isValid = span.startS !== null && span.endS !== null && span.startS < span.endS;
  return (
    <Dialog title="Range" onClose={closeDialog} class="range-dialog">
      <ul class="choices">
        {RANGES.map(({ name, label }) => (
          <li key={name}>
            <button
              type="button"
              onClick={() => {
                showWith({ range: name, span: null });
                closeDialog();
              }}
            >
              {name === "all" ? label : `Last ${label}`} <span class="soft">{name}</span>
            </button>
          </li>
        ))}
      </ul>
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          if (span.startS === null || span.endS === null || !isValid) return;
          showWith({ range: null, span: { startS: span.startS, endS: span.endS } });
          closeDialog();
        }}
      >
        <label>
          From
          <input
            type="datetime-local"
            step="1"
            value={start.value}
            onInput={(event) => {
              start.value = event.currentTarget.value;
            }}
          />
        </label>
        <label>
          To
          <input
            type="datetime-local"
            step="1"
            value={end.value}
            onInput={(event) => {
              end.value = event.currentTarget.value;
            }}
          />
        </label>
        <button type="submit" class="primary" disabled={!isValid}>
          Show
        </button>
        <p class="soft">Times of {zone.value}.</p>
      </form>
    </Dialog>
  );
}

function fieldText(timeS: number): string {
  return formatTime(timeS, zone.value, true).replace(" ", "T");
}

function readField(text: string): number | null {
  const utcS = Date.parse(`${text.length === 16 ? `${text}:00` : text}Z`) / 1000;
  if (Number.isNaN(utcS)) return null;
  // The offset is that of the time itself, which the first guess may miss by an hour.
  const guessS = utcS - offsetS(utcS, zone.value);
  return Math.max(0, utcS - offsetS(guessS, zone.value));
}
