/** The palette: one list of pages, routes, consumers, ranges and actions, found by typing. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { onPage, PAGES } from "../address.ts";
import type { Values } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { signOut } from "../api/sign_in.ts";
import { RANGES } from "../ranges.ts";
import { isShared, seesPage } from "../shared.ts";
import { chooseZone, comparisons, refresh, show, showWith, view, zone } from "../state.ts";
import { browserZone } from "../zones.ts";
import { COMPARISON_WORDS } from "./Bar.tsx";
import { copyLink } from "./copy.ts";
import { Dialog } from "./Dialog.tsx";
import { closeDialog, openDialog } from "./dialogs.ts";
import { useSettled } from "./FilterDialog.tsx";
import { PAGE_TITLES } from "./Frame.tsx";
import { valueText } from "./Link.tsx";

interface Entry {
  kind: string;
  text: string;
  run: () => void;
}

/** Show the palette. */
export function Palette() {
  const text = useSignal("");
  const chosen = useSignal(0);
  const searched = useSettled(text.value, 150);
  const parameters = { limit: 8, ...(searched === "" ? {} : { search: searched }) };
  const routes = useQuestion<Values>(
    question("v1/values", { field: "route", ...parameters }, { isUnfiltered: true }),
  );
  const consumers = useQuestion<Values>(
    question("v1/values", { field: "consumer_id", ...parameters }, { isUnfiltered: true }),
  );
  const matches = (words: string) => words.toLowerCase().includes(text.value.toLowerCase());
  // The values may still be those of the text before: they are searched here, too.
  const entries = [
    ...fixedEntries().filter((entry) => matches(`${entry.kind} ${entry.text}`)),
    ...(routes.value.data?.values ?? [])
      .filter(({ value }) => matches(value))
      .map(({ value }) => ({
        kind: "Route",
        text: valueText("route", value),
        run: () => show(onPage(view.value, "routes", { route: value })),
      })),
    ...(consumers.value.data?.values ?? [])
      .filter(({ value }) => matches(value))
      .map(({ value }) => ({
        kind: "Consumer",
        text: valueText("consumer_id", value),
        run: () => show(onPage(view.value, "consumers", { consumer: value })),
      })),
  ];
  const index = Math.min(chosen.value, entries.length - 1);
  useEffect(() => {
    document.getElementById(`palette-${index}`)?.scrollIntoView({ block: "nearest" });
  }, [index]);
  const run = (entry: Entry | undefined) => {
    if (entry === undefined) return;
    closeDialog();
    entry.run();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") chosen.value = Math.min(index + 1, entries.length - 1);
    else if (event.key === "ArrowUp") chosen.value = Math.max(index - 1, 0);
    else if (event.key === "Enter") run(entries[index]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Go to" onClose={closeDialog} class="palette">
      <input
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-entries"
        aria-activedescendant={`palette-${index}`}
        aria-label="Page, route, consumer, range or action"
        value={text.value}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          chosen.value = 0;
        }}
        onKeyDown={onKeyDown}
      />
      <div id="palette-entries" class="entries" role="listbox" aria-label="Found">
        {entries.map((entry, at) => (
          <div
            key={`${entry.kind} ${entry.text}`}
            id={`palette-${at}`}
            role="option"
            tabIndex={-1}
            aria-selected={at === index}
            onClick={() => run(entry)}
            onKeyDown={onKeyDown}
          >
            <span>{entry.text}</span>
            <span class="soft">{entry.kind}</span>
          </div>
        ))}
      </div>
      {entries.length === 0 && (
        <p class="soft" role="status">
          Nothing has this in its name.
        </p>
      )}
    </Dialog>
  );
}

function fixedEntries(): Entry[] {
  return [
    ...PAGES.filter(seesPage).map((page) => ({
      kind: "Page",
      text: PAGE_TITLES[page],
      run: () => show(onPage(view.value, page)),
    })),
    ...RANGES.map(({ name, label }) => ({
      kind: "Range",
      text: name === "all" ? label : `Last ${label}`,
      run: () => showWith({ range: name, span: null }),
    })),
    {
      kind: "Action",
      text: "Add a filter",
      run: () => {
        openDialog.value = "filter";
      },
    },
    { kind: "Action", text: "Remove all filters", run: () => showWith({ filters: [], slowness: null }) },
    { kind: "Action", text: "Refresh", run: refresh },
    {
      kind: "Action",
      text: zone.value === "UTC" ? `Times of ${browserZone()}` : "Times of UTC",
      run: () => chooseZone(zone.value === "UTC" ? browserZone() : "UTC"),
    },
    ...comparisons.value.map((compare) => ({
      kind: "Comparison",
      text: `Compare with ${COMPARISON_WORDS[compare]}`,
      run: () => showWith({ compare }),
    })),
    {
      kind: "Action",
      text: "All keys",
      run: () => {
        openDialog.value = "keys";
      },
    },
    ...(isShared.value
      ? []
      : [
          { kind: "Action", text: "Copy link", run: copyLink },
          {
            kind: "Action",
            text: "Share a part of this",
            run: () => {
              openDialog.value = "share";
            },
          },
          { kind: "Action", text: "Sign out", run: signOut },
        ]),
  ];
}
