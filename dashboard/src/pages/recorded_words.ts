/** What is recorded, in words. Pure. */

import type { Quality } from "../api/answers.ts";
import { formatExact, formatPercent } from "../format.ts";

type Recorded = Quality["recorded"];

const FIELDS: readonly [string, string][] = [
  ["Routes", "route"],
  ["Consumers", "consumer_id"],
  ["Sources", "source"],
  ["Versions", "version"],
  ["Error types", "error_type"],
  ["URLs", "url"],
  ["Client addresses", "client_ip"],
  ["User agents", "user_agent"],
  ["Own data", "data"],
];
const QUERIES = {
  none: "without queries",
  masked: "queries masked: names without values",
  full: "queries with their values",
} as const;
const ADDRESSES = { none: "", truncated: "truncated to networks", full: "whole" } as const;

/** Return each field with how many events have it and how much is kept of it, and whether events are a sample. */
export function recordedRows(recorded: Recorded): [string, string][] {
  const { events, fields, maxWeight } = recorded;
  if (events === 0) return [["Events", "none in this range"]];
  const rows = FIELDS.map(([title, name]): [string, string] => {
    const count = fields[name] ?? 0;
    const manner =
      name === "url" ? QUERIES[recorded.queries] : name === "client_ip" ? ADDRESSES[recorded.clientIps] : "";
    if (count === 0) return [title, "not recorded"];
    const share = count === events ? "in all" : `in ${formatPercent((100 * count) / events)}`;
    return [title, manner === "" ? share : `${share}, ${manner}`];
  });
  return [...rows, ["Sampling", samplingOf(maxWeight, recorded.maxErrorWeight)]];
}

function samplingOf(maxWeight: number, maxErrorWeight: number): string {
  if (maxWeight <= 1) return "off: every request is an event";
  const errors = maxErrorWeight > 1 ? "" : "; errors are all recorded";
  return `on: an event stands for up to ${formatExact(maxWeight)} requests${errors}`;
}
