/** How a figure changed against another period, in words and with a direction. Pure. */

import { formatCount } from "./format.ts";

export interface Change {
  text: string;
  /** Whether the change has a good or bad side and is large enough to be coloured. */
  tone: "good" | "bad" | "neutral";
  /** null where nothing changed, or nothing can be said. */
  direction: "up" | "down" | null;
}

/** Which direction is good: fewer errors, shorter times; requests have none. */
export type Meaning = "lower" | "higher" | "none";

const NOTHING: Change = { text: "", tone: "neutral", direction: null };
const NARROW = "\u202f";

/** Return the change of a count or a duration, in percent.
 *
 * @param requestsBefore the requests of the other period: below 20 a percentage would mislead
 */
export function changeOf(
  now: number | null | undefined,
  before: number | null | undefined,
  requestsBefore: number,
  meaning: Meaning,
  show: (value: number) => string = formatCount,
): Change {
  if (now === null || now === undefined || (now === 0 && requestsBefore === 0)) return NOTHING;
  if (requestsBefore === 0 || before === null || before === undefined) {
    return { text: "new", tone: "neutral", direction: null };
  }
  if (requestsBefore < 20) return { text: `was ${show(before)}`, tone: "neutral", direction: null };
  if (now === before) return { text: "same", tone: "neutral", direction: null };
  if (before === 0) return { text: `was ${show(0)}`, tone: toneOf(1, meaning, true), direction: "up" };
  const percent = (100 * (now - before)) / before;
  const direction = percent > 0 ? "up" : "down";
  const text = percent > 999 ? `×${(now / before).toFixed(1)}` : `${Math.abs(percent).toFixed(1)}${NARROW}%`;
  return { text, tone: toneOf(percent, meaning, Math.abs(percent) > 10), direction };
}

/** Return the change of a rate or a share, in points. */
export function changeInPoints(
  now: number | null | undefined,
  before: number | null | undefined,
  requestsBefore: number,
  meaning: Meaning,
): Change {
  if (now === null || now === undefined || (now === 0 && requestsBefore === 0)) return NOTHING;
  if (requestsBefore === 0 || before === null || before === undefined) {
    return { text: "new", tone: "neutral", direction: null };
  }
  if (requestsBefore < 20) return { text: `was ${before.toFixed(1)}${NARROW}%`, tone: "neutral", direction: null };
  const points = now - before;
  if (Math.abs(points) < 0.05) return { text: "same", tone: "neutral", direction: null };
  const text = `${Math.abs(points).toFixed(1)}${NARROW}pts`;
  return { text, tone: toneOf(points, meaning, Math.abs(points) > 0.2), direction: points > 0 ? "up" : "down" };
}

function toneOf(change: number, meaning: Meaning, isLarge: boolean): Change["tone"] {
  if (meaning === "none" || !isLarge) return "neutral";
  return change > 0 === (meaning === "higher") ? "good" : "bad";
}
