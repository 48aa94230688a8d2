/** Whether counts are made of samples, and counts with the sign that says so. */

import { computed, signal } from "@preact/signals";
import type { Quality } from "./api/answers.ts";
import { areFailures } from "./filters.ts";
import { estimated, formatCount, formatExact, formatRate } from "./format.ts";
import { application, view } from "./state.ts";

/** What the newest answer about the page's range says; null before it, and for a link, which learns less. */
export const recorded = signal<Quality["recorded"] | null>(null);

/** For how many requests an event stands at most; of a link it is known only whether it is more than one. */
export const weight = computed(() => recorded.value?.maxWeight ?? (application.value?.recorded.sampled ? 2 : 1));

/** Whether errors are a sample, too: the middleware records all of them. */
const areErrorsSampled = computed(() => (recorded.value?.maxErrorWeight ?? 1) > 1);

/** Whether the requests that pass the page's filters are a sample. */
const isSample = computed(() => (areFailures(view.value.filters) ? areErrorsSampled.value : weight.value > 1));

/** Return a count of requests as a table or a tile shows it. */
export function formatRequests(count: number | null | undefined): string {
  return estimated(formatCount(count), isSample.value);
}

/** Return a count of requests in full. */
export function exactRequests(count: number | null | undefined): string {
  return estimated(formatExact(count), isSample.value);
}

/** Return a rate of requests. */
export function formatRequestRate(perMinute: number | null | undefined, requests: number): string {
  return estimated(formatRate(perMinute, requests), isSample.value);
}

/** Return a count of requests that failed. */
export function formatErrors(count: number | null | undefined): string {
  return estimated(formatCount(count), areErrorsSampled.value);
}

/** Return what the sign means, as a sentence; empty where nothing is a sample. */
export function samplingWords(): string {
  if (weight.value <= 1) return "";
  const errors = areErrorsSampled.value ? "" : "; errors are all there";
  const most = recorded.value?.maxWeight;
  return most === undefined
    ? "Counts are made of a sample of the requests"
    : `Counts are made of samples: an event stands for up to ${formatExact(most)} requests${errors}`;
}
