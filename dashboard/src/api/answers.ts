/** The answers that the page reads, by the names that pages use for them. The shapes come from the OpenAPI document. */

import type { components } from "./schema.d.ts";

type Schemas = components["schemas"];

export type Me = Schemas["Me"];
export type NewShare = Schemas["NewShare"];
export type ShareList = Schemas["ShareList"];
export type SessionList = Schemas["SessionList"];
export type NewSession = Schemas["NewSession"];
export type Application = Schemas["Application"];
export type Summary = Schemas["Summary"];
export type Breakdown = Schemas["Breakdown"];
export type BreakdownRow = Schemas["BreakdownRow"];
/** A request with all of its fields: the page leaves none out. */
export type StoredEvent = Required<Schemas["StoredEvent"]>;
export type Events = Omit<Schemas["EventsPage"], "events"> & { events: StoredEvent[] };
export type AlertEvents = Schemas["AlertHistory"];
export type Rule = Schemas["AlertRule"];
export type RuleList = Schemas["AlertRuleList"];
export type NewRule = Schemas["NewAlertRule"];
export type OneRule = Schemas["OneAlertRule"];
export type Preview = Schemas["AlertPreview"];
export type TestedRule = Schemas["AlertTest"];
export type Quality = Schemas["Quality"];
export type ApplicationList = Schemas["ApplicationList"];
export type KeyList = Schemas["KeyList"];
export type NewKey = Schemas["NewKey"];
export type OneJob = Schemas["OneJob"];
export type OrganizationOverview = Schemas["Overview"];
export type OneOrganization = Schemas["OneOrganization"];
export type Collectors = Schemas["CollectorList"];
export type Latency = Schemas["Latency"];
export type Versions = Schemas["Versions"];
export type Explanation = Schemas["Explanation"];
export type Cause = Explanation["causes"][number];
export type Values = Schemas["Values"];

/** `[t, v]` with one aggregation, `[t, v1, v2, …]` with several. */
export type TimePoint = [number, ...(number | null)[]];

/** By hand: the document cannot say that the first member of a point is its time. */
export interface Timeseries {
  groups: Record<string, TimePoint[]>;
  start: number;
  end: number;
  granularity: number;
  aggregations?: string[];
  rest?: TimePoint[];
  omitted_groups?: number;
  previous?: { groups: Record<string, TimePoint[]>; start: number; end: number; rest?: TimePoint[] };
}
