/** The state of the page: the view in the address, the time it looks at, and who looks. */

import { computed, effect, signal } from "@preact/signals";
import { addressOf, COMPARISONS, defaultComparison, PAGES, parseAddress, type View } from "./address.ts";
import type { Me, StoredEvent } from "./api/answers.ts";
import { forgetAnswers, ROOT } from "./api/client.ts";
import { visibleText } from "./format.ts";
import { type NamedRange, rangeNamed, roundedEnd, type Step, stepsFor } from "./ranges.ts";
import { browserStorage } from "./storage.ts";
import { browserZone } from "./zones.ts";

const KEPT_ZONE = "apimetry.zone";

const first = read();

/** The view that the address names. */
export const view = signal<View>(first.view);
/** Parts of the address that cannot be read. */
export const badParts = signal<string[]>(first.bad);
/** What the service says of the credential; null until it answered. */
export const me = signal<Me | null>(null);
/** How often the page was refreshed; panels ask again when it changes. */
export const refreshes = signal(0);
/** Whether a chart is being dragged: then nothing refreshes. */
export const isDragging = signal(false);
/** What a screen reader is told. */
export const announcement = signal("");
/** Whether what a screen reader is told shows on the page, too. */
export const isAnnouncementSeen = signal(false);
/** The first event of an application, from when the page sees it until it is closed. */
export const firstEvent = signal<StoredEvent | null>(null);
/** Seconds by which the service's clock is ahead of this one, known within `DRIFT_S`. */
export const clockAheadS = signal(0);

const keptZone = signal(browserStorage.getItem(KEPT_ZONE));
/** How far the clocks may drift before the page looks at another time: an answer has whole seconds, and comes late. */
export const DRIFT_S = 2;
const shownAtS = signal(Date.now() / 1000);

/** The application that is asked about; null for an admin key before an application is known. */
export const application = computed(() => {
  const applications = me.value?.applications ?? [];
  const named = applications.find(({ id }) => id === view.value.application);
  return named ?? applications[0] ?? null;
});

/** Return the name of an application that the key sees, else its id; null is all of them. */
export function applicationName(id: string | null | undefined): string {
  if (id === null || id === undefined) return "all";
  return visibleText(me.value?.applications.find((known) => known.id === id)?.name || id);
}

export const zone = computed(() => view.value.zone ?? keptZone.value ?? browserZone());

export interface Frame {
  startS: number;
  endS: number;
  countStep: Step;
  percentileStep: Step;
  /** null: the range is a picked span, or does not refresh. */
  refreshS: number | null;
  named: NamedRange | null;
}

/** Return a time that the service's clock has certainly reached: it refuses an end beyond. */
export function reachedS(atS: number): number {
  return atS + clockAheadS.value - DRIFT_S;
}

/** The range that every panel of the page asks for, with one end. */
export const frame = computed<Frame>(() => {
  const { span, range } = view.value;
  if (span !== null) {
    return { ...span, ...stepsFor(span.endS - span.startS), refreshS: null, named: null };
  }
  const named = rangeNamed(range ?? "24h");
  if (named === undefined) throw new RangeError(`no range ${range}`);
  const firstAt = application.value?.firstEventAt;
  const firstS = firstAt === null || firstAt === undefined ? null : Math.floor(Date.parse(firstAt) / 1000);
  const endS = roundedEnd(reachedS(shownAtS.value), named.lengthS, firstS);
  const startS =
    named.lengthS === null ? Math.min(firstS ?? endS - 86_400, endS - 60) : Math.max(0, endS - named.lengthS);
  const steps = named.lengthS === null ? stepsFor(endS - startS) : named;
  return {
    startS,
    endS,
    countStep: steps.countStep,
    percentileStep: steps.percentileStep,
    refreshS: named.refreshS,
    named,
  };
});

const WEEK_S = 604_800;

/** What the page can compare with: the week before up to a week, and not where it is older than the first event. */
export const comparisons = computed(() => {
  const { startS, endS } = frame.value;
  const firstAt = application.value?.firstEventAt;
  const hasWeek = endS - startS <= WEEK_S && !(firstAt && Date.parse(firstAt) / 1000 >= endS - WEEK_S);
  return COMPARISONS.filter((name) => name !== "week" || hasWeek);
});

/** What the page compares with. */
export const comparison = computed(() =>
  comparisons.value.includes(view.value.compare) ? view.value.compare : "previous",
);

/** Whether another site's page frames this one. Then the address stays that of the link, which alone may be framed. */
export const isEmbedded = pathHere().startsWith("embed/");

const SEEN_MS = 4000;
let hiding: ReturnType<typeof setTimeout> | undefined;

/** Tell everybody what happened, for a few seconds. */
export function say(text: string): void {
  announcement.value = text;
  isAnnouncementSeen.value = true;
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    isAnnouncementSeen.value = false;
  }, SEEN_MS);
}

/** How often a screen reader is told of a chart's points, at most. */
const TOLD_EVERY_MS = 500;
let toldNext = "";
let telling: ReturnType<typeof setTimeout> | undefined;

/** Tell a screen reader where a walk is: at once, then twice a second at most, the newest last. */
export function tellPoint(text: string): void {
  if (telling !== undefined) {
    toldNext = text;
    return;
  }
  announcement.value = text;
  toldNext = "";
  telling = setTimeout(() => {
    telling = undefined;
    if (toldNext !== "") tellPoint(toldNext);
  }, TOLD_EVERY_MS);
}

/** Show another view: a change that a person made, so *Back* returns. */
export function show(next: View): void {
  // A link shows some pages alone.
  if (me.value?.fixed?.pages.includes(next.page) === false) return;
  if (isEmbedded) {
    badParts.value = [];
    shownAtS.value = Date.now() / 1000;
    view.value = next;
    return;
  }
  const address = new URL(addressOf(next), ROOT).href;
  if (address === location.href) return;
  history.pushState(null, "", address);
  badParts.value = [];
  shownAtS.value = Date.now() / 1000;
  view.value = next;
}

/** Change parts of the view. A table begins at its first page again. */
export function showWith(parts: Partial<View>): void {
  const { from: _, ...own } = view.value.own;
  show({ ...view.value, own, ...parts });
}

/** Return the address of a view, for a link. */
export function linkTo(next: View): string {
  return new URL(addressOf(next), ROOT).href;
}

/** Return the address of this view with its start and end pinned. */
export function pinnedLink(): string {
  const { startS, endS } = frame.value;
  return linkTo({ ...view.value, range: null, span: { startS, endS }, zone: zone.value });
}

/** Keep a time zone for this browser, and name it in the address. */
export function chooseZone(name: string): void {
  browserStorage.setItem(KEPT_ZONE, name);
  keptZone.value = name;
  showWith({ zone: name });
}

/** Ask everything again, up to now. */
export function refresh(): void {
  forgetAnswers();
  shownAtS.value = Date.now() / 1000;
  refreshes.value += 1;
}

/** Follow the browser's *Back*, and refresh as the range says while the tab is seen. Call it once. */
export function startState(): void {
  addEventListener("popstate", () => {
    const { view: next, bad } = read();
    view.value = next;
    badParts.value = bad;
  });
  effect(() => {
    const everyS = frame.value.refreshS;
    if (everyS === null) return;
    const refreshIfSeen = () => {
      if (document.visibilityState === "visible" && !isDragging.value) refresh();
    };
    // A tab that comes back shows what it missed at once.
    const onVisibility = () => {
      if (Date.now() / 1000 - shownAtS.peek() >= everyS) refreshIfSeen();
    };
    const timer = setInterval(refreshIfSeen, everyS * 1000);
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", onVisibility);
    };
  });
}

/** Open the view that a link binds, where the address names no other. */
export function openShared(range: string, pages: readonly string[]): void {
  const named = new URLSearchParams(location.search);
  const isNamed = named.has("range") || named.has("start");
  const page = PAGES.find((known) => pages.includes(known)) ?? "overview";
  const next = pages.includes(view.value.page) ? view.value : { ...view.value, page, own: {} };
  view.value = isNamed ? next : { ...next, range, span: null, compare: defaultComparison(range) };
  if (!isEmbedded) history.replaceState(null, "", new URL(addressOf(view.value), ROOT));
}

/** Return the path below the root of the dashboard, without its first slash. */
export function pathHere(): string {
  return decodeURI(location.pathname.slice(ROOT.pathname.length));
}

function read(): { view: View; bad: string[] } {
  return parseAddress(pathHere(), new URLSearchParams(location.search));
}
