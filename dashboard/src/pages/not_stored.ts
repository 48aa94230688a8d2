/** Which events collectors received and did not store. Pure. */

import type { Collectors } from "../api/answers.ts";

type Collector = Collectors["collectors"][number];

/** Events that a collector rejected for one reason, since it began. */
export interface Rejection {
  reason: string;
  collector: string;
  events: number;
  /** When the last one was, as ISO 8601; null: its version does not report it. */
  lastAt: string | null;
}

/** What a collector has put aside. Null: its version does not report it. */
export interface SetAside {
  collector: string;
  pieces: number | null;
  rows: number | null;
  /** Events since the collector began. */
  events: number;
  reason: string;
}

/** Return the rejected events by reason and collector, the most first. */
export function rejections(collectors: readonly Collector[]): Rejection[] {
  return collectors
    .flatMap(({ id, rejected, rejectedAt }) =>
      Object.entries(rejected).map(([reason, events]) => ({
        reason,
        collector: id,
        events,
        lastAt: rejectedAt[reason] ?? null,
      })),
    )
    .filter(({ events }) => events > 0)
    .sort((a, b) => b.events - a.events);
}

/** Return what is in the quarantine of each collector that has put anything aside, the most pieces first. */
export function setAside(collectors: readonly Collector[]): SetAside[] {
  return collectors
    .map(({ id, quarantined, quarantine }) => ({
      collector: id,
      pieces: quarantine?.pieces ?? null,
      rows: quarantine?.rows ?? null,
      events: quarantined,
      reason: quarantine?.newestReason ?? "",
    }))
    .filter(({ pieces, events }) => (pieces ?? 0) > 0 || events > 0)
    .sort((a, b) => (b.pieces ?? 0) - (a.pieces ?? 0));
}
