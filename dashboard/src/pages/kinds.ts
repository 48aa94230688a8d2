/** Kinds of errors: one name and status each, whatever routes they happen on. Pure. */

import type { Breakdown, BreakdownRow } from "../api/answers.ts";

/** The names that usage gives to statuses without an error type (docs/api.md). */
const BY_STATUS: Record<string, string> = {
  "400": "bad_request",
  "401": "unauthorized",
  "403": "forbidden",
  "404": "not_found",
  "405": "method_not_allowed",
  "408": "timeout",
  "413": "payload_too_large",
  "422": "validation_error",
  "429": "rate_limit_exceeded",
  "499": "client_closed",
  "504": "timeout",
};

/** A kind, with its figures over all its routes; the key is error type and status. */
export interface Kind extends BreakdownRow {
  routes: readonly string[];
}

/** Return the name of a kind: its error type, or what its status is called where it has none. */
export function kindName(errorType: string, status: string): string {
  if (errorType !== "") return errorType;
  return BY_STATUS[status] ?? (Number(status) >= 500 ? "server_error" : "client_error");
}

/** Return the kinds of a breakdown by error type, route and status, in the order that `sort` names. */
export function kindsOf({ rows }: Breakdown, sort: string): Kind[] {
  const kinds = new Map<string, BreakdownRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.key[0], row.key[2]]);
    kinds.set(key, [...(kinds.get(key) ?? []), row]);
  }
  const direction = sort.startsWith("-") ? -1 : 1;
  const measure = sort.replace(/^-/, "");
  return [...kinds.values()]
    .map(added)
    .sort((a, b) => direction * compared(figureOf(a, measure), figureOf(b, measure)) || most(a, b));
}

function added(rows: readonly BreakdownRow[]): Kind {
  const [first] = rows;
  const seen = (name: "firstSeen" | "lastSeen") =>
    rows.flatMap((row) => (row[name] === undefined || row[name] === null ? [] : [row[name]])).sort();
  const before = rows.reduce((sum, { previous }) => sum + (previous?.requests ?? 0), 0);
  return {
    key: [first?.key[0] ?? "", first?.key[2] ?? ""],
    requests: rows.reduce((sum, { requests }) => sum + (requests ?? 0), 0),
    ...(rows.some(({ previous }) => previous !== undefined) ? { previous: { requests: before } } : {}),
    firstSeen: seen("firstSeen")[0] ?? null,
    lastSeen: seen("lastSeen").at(-1) ?? null,
    routes: [...new Set(rows.map(({ key }) => key[1] ?? ""))],
  };
}

function figureOf(kind: Kind, measure: string): number | string {
  if (measure === "firstSeen" || measure === "lastSeen") return kind[measure] ?? "";
  if (measure === "change:requests") return (kind.requests ?? 0) - (kind.previous?.requests ?? 0);
  return kind.requests ?? 0;
}

function compared(a: number | string, b: number | string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function most(a: Kind, b: Kind): number {
  return (b.requests ?? 0) - (a.requests ?? 0);
}
