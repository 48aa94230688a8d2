/** The keyboard: single keys, `g` and a letter, the palette, and the list of all of them. */

import { useEffect } from "preact/hooks";
import { PAGES } from "../address.ts";
import { announcement, chooseZone, comparison, comparisons, refresh, showWith, view, zone } from "../state.ts";
import { browserZone } from "../zones.ts";
import { move, widen } from "./Bar.tsx";
import { copyLink } from "./copy.ts";
import { Dialog } from "./Dialog.tsx";
import { closeDialog, openDialog } from "./dialogs.ts";
import { go, PAGE_KEYS, PAGE_TITLES } from "./Frame.tsx";
import { Palette } from "./Palette.tsx";
import { toggleFocusedPanel } from "./panel_keys.ts";
import { singleKeys } from "./single_keys.ts";

/** Every key and what it does, as `?` shows them. */
export const KEY_LIST: readonly [keys: string, does: string][] = [
  ["g o, g r, g c, g e, g l, g q, g a, g d, g s", PAGES.map((page) => PAGE_TITLES[page]).join(", ")],
  ["Ctrl K, ⌘ K", "Find a page, route, consumer, range or action"],
  ["f", "Add a filter"],
  ["/", "Search in the table"],
  ["t", "Choose a range"],
  ["[ ]", "One length earlier, later"],
  ["- +", "Wider, narrower"],
  ["c", "Comparison: period before, week before, nothing"],
  ["z", "Time zone: UTC or mine"],
  ["r", "Refresh"],
  ["l", "Live, on Requests"],
  [".", "Copy link with start and end"],
  ["j k", "Next, previous row"],
  ["Enter, x", "Open the row, exclude its value"],
  ["d", "Show the focused panel as a table"],
  ["← → Home End", "Move in a chart; Shift selects, Enter zooms, Esc leaves"],
  ["Esc", "Close what is open, else remove the last filter"],
  ["?", "This list"],
];

let isGoing = false;
let goingTimer: ReturnType<typeof setTimeout> | undefined;

/** Listen for keys, and show the dialogs that keys open. */
export function Keys() {
  useEffect(() => {
    addEventListener("keydown", onKeyDown);
    addEventListener("pointerdown", closeMenuBeside);
    return () => {
      removeEventListener("keydown", onKeyDown);
      removeEventListener("pointerdown", closeMenuBeside);
    };
  }, []);
  if (openDialog.value === "palette") return <Palette />;
  if (openDialog.value !== "keys") return null;
  return (
    <Dialog title="Keys" onClose={closeDialog}>
      <dl class="keys">
        {KEY_LIST.map(([keys, does]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

const ACTIONS: Record<string, () => void> = {
  f: () => open("filter"),
  t: () => open("range"),
  "?": () => open("keys"),
  "/": focusSearch,
  "[": () => move(-1),
  "]": () => move(1),
  "-": () => widen(2),
  "+": () => widen(0.5),
  c: nextComparison,
  z: () => chooseZone(zone.value === "UTC" ? browserZone() : "UTC"),
  r: refresh,
  l: toggleLive,
  ".": copyLink,
  j: () => moveRow(1),
  k: () => moveRow(-1),
  d: () => toggleFocusedPanel(),
  Escape: closeOrRemoveFilter,
};

function onKeyDown(event: KeyboardEvent): void {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    open("palette");
    return;
  }
  if (event.key === "Escape" && openDialog.value === null && closeMenu()) return;
  if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
  if (openDialog.value !== null || (!singleKeys.value && event.key !== "Escape")) return;
  if (isGoing) {
    isGoing = false;
    const page = PAGES.find((name) => PAGE_KEYS[name] === event.key);
    if (page !== undefined) {
      event.preventDefault();
      go(page);
    }
    return;
  }
  if (event.key === "g") {
    isGoing = true;
    clearTimeout(goingTimer);
    goingTimer = setTimeout(() => {
      isGoing = false;
    }, 1500);
    return;
  }
  const action = ACTIONS[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
}

/** What opens below a button without being a dialog, by the button that closes it. */
const OPEN_MENUS = "details.menu[open] summary, .rail.open .more button, .bar.open .bar-summary";

/** Close the menu that is open; false where none is. */
function closeMenu(): boolean {
  const button = document.querySelector<HTMLElement>(OPEN_MENUS);
  button?.click();
  button?.focus();
  return button !== null;
}

/** A press beside a menu closes it. */
function closeMenuBeside({ target }: Event): void {
  const menu = document.querySelector<HTMLDetailsElement>("details.menu[open]");
  if (menu !== null && target instanceof Node && !menu.contains(target)) menu.open = false;
}

function open(dialog: "filter" | "range" | "keys" | "palette"): void {
  openDialog.value = dialog;
}

function isField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName))
  );
}

function focusSearch(): void {
  document.querySelector<HTMLInputElement>("input[type=search]")?.focus();
}

function nextComparison(): void {
  const order = comparisons.value;
  const next = order[(order.indexOf(comparison.value) + 1) % order.length] ?? "previous";
  showWith({ compare: next });
  announcement.value = `Compared with ${next}`;
}

function toggleLive(): void {
  if (view.value.page !== "requests") {
    go("requests", { live: "1" });
    return;
  }
  const { live, ...own } = view.value.own;
  showWith({ own: live === undefined ? { ...own, live: "1" } : own });
}

function moveRow(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const now = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  rows[now < 0 ? 0 : Math.min(Math.max(now + by, 0), rows.length - 1)]?.focus();
}

function closeOrRemoveFilter(): void {
  const { filters, slowness } = view.value;
  const { event, ...own } = view.value.own;
  if (event !== undefined) showWith({ own });
  else if (slowness !== null) showWith({ slowness: null });
  else if (filters.length > 0) showWith({ filters: filters.slice(0, -1) });
}
