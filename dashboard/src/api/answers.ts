/** The answers that the page reads, by the names that pages use for them. */

export interface Me {
  kind: "read" | "admin" | "share";
  keyId: string;
  expiresAt: string | null;
  organization: { id: string; name: string };
  applications: Application[];
  fixed: Fixed | null;
  collectorUrl: string | null;
  version: string;
  now: number;
}

export interface Application {
  id: string;
  name: string;
  retentionDays: number | null;
  limits: { requestsPerMinute: number | null; requestsPerHour: number | null; requestsPerDay: number | null };
  targetMs?: number | null;
  firstEventAt: string | null;
  lastEventAt: string | null;
  recorded: { consumers: boolean; versions: boolean; errorTypes: boolean; urls: boolean };
}

/** What a share binds. */
export interface Fixed {
  include: string[];
  exclude?: string[];
  notBefore: number | null;
  until: number | null;
  hides: string[];
  name?: string;
  pages?: string[];
  range?: string;
}

export interface Figures {
  requests: number;
  errors: number;
  errorRate: number;
  clientErrors: number;
  serverErrors: number;
  meanMs: number | null;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
  maxMs: number | null;
  requestBytes: number;
  responseBytes: number;
  requestsPerMinute: number;
  peakRequestsPerMinute: number;
  consumers: number | null;
  withinTarget: number | null;
  apdex: number | null;
}

export interface Completeness {
  captured: number;
  stored: number;
  pending: number;
  lost: Record<string, number>;
  share: number | null;
  senders: number;
}

export interface Summary extends Figures {
  start: number;
  end: number;
  estimated: boolean;
  previous?: Figures & { start: number; end: number };
  completeness?: Completeness;
}

export type Measure =
  | "requests"
  | "errors"
  | "errorRate"
  | "share"
  | "meanMs"
  | "maxMs"
  | "p50Ms"
  | "p75Ms"
  | "p90Ms"
  | "p95Ms"
  | "p99Ms"
  | "ttfbP95Ms"
  | "timeShare"
  | "bytes"
  | "consumers";

export type BreakdownRow = { [measure in Measure]?: number | null } & {
  key: string[];
  firstSeen?: string | null;
  lastSeen?: string | null;
  previous?: { [measure in Measure]?: number | null } | null;
  series?: number[];
};

export interface Breakdown {
  by: string[];
  start: number;
  end: number;
  total: { [measure in Measure]?: number | null };
  rows: BreakdownRow[];
  pagination: { total: number; limit: number; offset: number; hasMore: boolean };
  estimated: boolean;
  source: "rollup" | "events";
}

/** `[t, v]` with one aggregation, `[t, v1, v2, …]` with several. */
export type TimePoint = [number, ...(number | null)[]];

export interface Timeseries {
  groups: Record<string, TimePoint[]>;
  start: number;
  end: number;
  granularity: number;
  aggregations?: string[];
  rest?: TimePoint[];
  omitted_groups?: number;
  previous?: { groups: Record<string, TimePoint[]>; start: number; end: number };
}

export interface StoredEvent {
  id: string;
  timestamp: number;
  method: string;
  url?: string;
  route: string;
  function: string;
  status_code: number;
  response_us: number | null;
  ttfb_us: number | null;
  request_bytes: number | null;
  response_bytes: number | null;
  consumer_id?: string;
  error_type: string;
  source: string;
  version: string;
  user_agent?: string;
  client_ip?: string;
  sample_weight: number;
  data: Record<string, string>;
}

export interface Events {
  events: StoredEvent[];
  next: string | null;
  searched: { start: number; end: number };
  complete: boolean;
}

export interface Latency {
  value: string;
  bounds: number[];
  times: number[];
  counts: [bucket: number, requests: number][][];
  total: number;
  percentiles: Record<string, number>;
  max: number | null;
  min: number | null;
  estimated: boolean;
  previous?: { total: number; counts: [number, number][][] };
}

export interface Versions {
  versions: {
    version: string;
    firstSeen: string;
    lastSeen: string;
    requests: number;
    errorRate: number;
    sources: string[];
    isReturn: boolean;
  }[];
}

export interface Values {
  field: string;
  values: { value: string; requests: number; lastSeen: string }[];
  more: boolean;
}

export interface AlertEvents {
  events: {
    id: string;
    alert: string;
    name: string;
    kind: string;
    at: string;
    value: number | null;
    threshold: number | null;
    delivery: string;
  }[];
  next: string | null;
}

export interface Quality {
  total: { captured: number; stored: number; pending: number; lost: Record<string, number>; share: number | null };
  series: [number, { captured: number; stored: number; lost: Record<string, number> }][];
  senders: {
    instance: string;
    source: string;
    version: string;
    firstReport: string;
    lastReport: string;
    captured: number;
    stored: number;
    pending: number;
    lost: Record<string, number>;
    state: "alive" | "ended" | "gone";
  }[];
  newestEventAt: string | null;
  silentSenders: number;
  withoutReports: number;
}

export interface Collectors {
  collectors: {
    id: string;
    version: string;
    lastReport: string;
    spoolBytes: number;
    spoolLimitBytes: number;
    segments: number;
    oldestSegmentS: number | null;
    received: number;
    stored: number;
    rejected: Record<string, number>;
    quarantined: number;
    state: "ok" | "behind" | "full" | "silent";
  }[];
}
