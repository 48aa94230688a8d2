import assert from "node:assert/strict";
import { test } from "node:test";
import { align, bucketTimes, isUnfinished, peakOf, stacked, total } from "../src/buckets.ts";
import { indexAfter, walked, walkedCell } from "../src/charts/keyboard.ts";
import { changeInPoints, changeOf } from "../src/compare.ts";
import { csvOf } from "../src/csv.ts";
import {
  addFilters,
  areFailures,
  filterWords,
  parseFilter,
  parseSlowness,
  slownessText,
  withFilter,
} from "../src/filters.ts";
import { formatBytes } from "../src/format.ts";
import { attentionRows, worstOf } from "../src/pages/attention.ts";
import { requestsOf, sliceText } from "../src/pages/causes.ts";
import { kindName, kindsOf } from "../src/pages/kinds.ts";
import { newAndReturning } from "../src/pages/new_consumers.ts";
import { rejections, setAside } from "../src/pages/not_stored.ts";
import { drawable, othersOf } from "../src/pages/others.ts";
import { percentilesOf } from "../src/pages/percentiles.ts";
import { recordedRows } from "../src/pages/recorded_words.ts";
import { requestTotals, requestTrends, thinned, trendOf } from "../src/pages/trends.ts";
import { unusedRoutes } from "../src/pages/unused.ts";
import { choiceText, chosenOf } from "../src/parts/column_choice.ts";
import { traceAddress } from "../src/traces.ts";
import { offsetS } from "../src/zones.ts";

test("groups are aligned on one axis", () => {
  const aligned = align(
    {
      a: [[1, 5]],
      b: [
        [1, 2],
        [3, 4],
      ],
    },
    0,
  );
  assert.deepEqual(aligned, {
    times: [1, 3],
    series: [
      { name: "a", values: [5, 0] },
      { name: "b", values: [2, 4] },
    ],
  });
  assert.deepEqual(stacked(aligned.series.map(({ values }) => values)), [
    [5, 0],
    [7, 4],
  ]);
  assert.equal(total([1, null, 2]), 3);
});

test("the highest point is that of one line, or of all bars together", () => {
  const series = [
    { name: "a", values: [5, null, 2] },
    { name: "b", values: [1, 4, 5] },
  ];
  assert.deepEqual(peakOf(series, false), { index: 0, value: 5, name: "a" });
  assert.deepEqual(peakOf(series, true), { index: 2, value: 7, name: null });
  assert.equal(peakOf([{ name: "a", values: [null] }], false), null);
  assert.equal(peakOf([], true), null);
});

test("the buckets of a span are counted from the epoch and cover all of it", () => {
  assert.deepEqual(bucketTimes({ startS: 1000, endS: 2800 }, 900), [900, 1800, 2700]);
  assert.deepEqual(bucketTimes({ startS: 1800, endS: 2700 }, 900), [1800]);
});

test("the last bucket is unfinished until the range and the clock are past its end", () => {
  assert.equal(isUnfinished([0, 60], 60, 90, 1000), true);
  assert.equal(isUnfinished([0, 60], 60, 120, 100), true);
  assert.equal(isUnfinished([0, 60], 60, 120, 120), false);
  assert.equal(isUnfinished([], 60, 120, 0), false);
});

test("changes say percent, points, new, was and times", () => {
  const text = (change: { text: string }) => change.text.replaceAll("\u202f", " ");
  assert.equal(text(changeOf(112, 100, 100, "none")), "12.0 %");
  assert.equal(text(changeOf(1020, 100, 100, "none")), "920.0 %");
  assert.equal(text(changeOf(1120, 100, 100, "none")), "×11.2");
  assert.equal(text(changeOf(50, 12, 12, "none")), "was 12");
  assert.equal(text(changeOf(50, null, 0, "none")), "new");
  assert.equal(text(changeOf(0, 0, 0, "none")), "");
  assert.equal(changeOf(150, 100, 100, "lower").tone, "bad");
  assert.equal(changeOf(105, 100, 100, "lower").tone, "neutral");
  assert.equal(changeOf(50, 100, 100, "lower").tone, "good");
  assert.equal(text(changeInPoints(4.6, 4.4, 100, "lower")), "0.2 pts");
  assert.equal(changeInPoints(9, 4.4, 100, "lower").tone, "bad");
});

test("CSV begins no formula and quotes everything", () => {
  assert.equal(
    csvOf(["a"], [["=1+1"], ["\tx"], ['say "hi"'], [-5], [null]]),
    '\ufeff"a"\r\n"\'=1+1"\r\n"\'\tx"\r\n"say ""hi"""\r\n"-5"\r\n""\r\n',
  );
});

test("filters are read from field:value and written as the API takes them", () => {
  assert.deepEqual(parseFilter("is", "route:/a:b"), { field: "route", value: "/a:b", kind: "is" });
  assert.equal(parseFilter("is", "colour:red"), null);
  assert.equal(parseFilter("has", "method:G"), null);
  assert.equal(parseFilter("is", "status_code:5xx")?.value, "5xx");
  assert.equal(parseFilter("is", "status_code:x"), null);
  const query = new URLSearchParams();
  assert.equal(parseFilter("between", "ttfb_us:9..1"), null);
  const words = ["1024..4096", "..4096", "1024.."].map((span) => {
    const filter = parseFilter("between", `response_bytes:${span}`);
    return filter === null ? null : filterWords(filter).value;
  });
  assert.deepEqual(words, [
    `${formatBytes(1024)} to ${formatBytes(4096)}`,
    `up to ${formatBytes(4096)}`,
    `${formatBytes(1024)} or more`,
  ]);
  const filters = [parseFilter("is", "route:/a"), parseFilter("not", "status_code:404"), parseFilter("has", "url:x")];
  addFilters(
    query,
    filters.filter((filter) => filter !== null),
    { fromMs: 250, toMs: null },
  );
  assert.equal(query.toString(), "include=route%3A%2Fa&exclude=status_code%3A404&has=url%3Ax&min_response_us=250000");
});

test("a filter stands once, and the newer word holds", () => {
  const is = { field: "method", value: "GET", kind: "is" } as const;
  assert.deepEqual(withFilter([is], is), [is]);
  assert.deepEqual(withFilter([is], { ...is, kind: "not" }), [{ ...is, kind: "not" }]);
});

test("slowness round-trips", () => {
  for (const text of ["250..2000", "250..", "..2000"]) {
    const slowness = parseSlowness(text);
    assert.ok(slowness !== null);
    assert.equal(slownessText(slowness), text);
  }
  for (const text of ["", "..", "5..5", "a..b", "1..2..3"]) assert.equal(parseSlowness(text), null);
});

test("the offset of a zone follows its summer time", () => {
  assert.equal(offsetS(Date.UTC(2026, 2, 29, 0, 59) / 1000, "Europe/Berlin"), 3600);
  assert.equal(offsetS(Date.UTC(2026, 2, 29, 1) / 1000, "Europe/Berlin"), 7200);
  assert.equal(offsetS(Date.UTC(2026, 0, 1) / 1000, "Asia/Kolkata"), 19_800);
});

test("arrows walk a chart, Shift selects, Enter zooms, Escape leaves", () => {
  const last = walked({ index: null, from: null }, "ArrowLeft", false, 5);
  assert.deepEqual(last?.walk, { index: 4, from: null });
  const selecting = walked({ index: 3, from: null }, "ArrowLeft", true, 5);
  assert.deepEqual(selecting?.walk, { index: 2, from: 3 });
  assert.deepEqual(walked({ index: 2, from: 3 }, "Enter", false, 5)?.zoom, [2, 3]);
  assert.deepEqual(walked({ index: 2, from: 3 }, "Escape", false, 5)?.walk, { index: null, from: null });
  assert.equal(walked({ index: null, from: null }, "x", false, 5), null);
  assert.deepEqual(walked({ index: 0, from: null }, "ArrowLeft", false, 5)?.walk.index, 0);
});

test("a walk stays at its time when a refresh moves the range", () => {
  assert.equal(indexAfter(2, [10, 20, 30], [20, 30, 40]), 1);
  assert.equal(indexAfter(0, [10, 20, 30], [20, 30, 40]), null);
  assert.equal(indexAfter(null, [10], [10]), null);
});

test("a route whose share of the errors grew comes first, with the reason", () => {
  const row = (name: string, errors: number, before: number) => ({
    key: [name],
    requests: 1000,
    errors,
    p95Ms: 10,
    timeShare: 50,
    previous: { requests: 1000, errors: before, p95Ms: 10, timeShare: 50 },
  });
  const breakdown = {
    by: ["route" as const],
    start: 0,
    end: 1,
    total: { requests: 2000, errors: 150 },
    rows: [row("/calm", 10, 10), row("/broken", 140, 10)],
    pagination: { total: 2, limit: 100, offset: 0, hasMore: false },
    estimated: false,
    source: "rollup" as const,
  };
  const [first] = attentionRows(breakdown);
  assert.equal(first?.row.key[0], "/broken");
  assert.equal(first?.reason.text, "errors ×14.0");
  assert.equal(worstOf(breakdown)?.row.key[0], "/broken");
  assert.equal(worstOf({ ...breakdown, rows: [row("/broken", 140, 0)] })?.reason.text, "new errors");
  assert.equal(worstOf({ ...breakdown, rows: [row("/calm", 10, 10)] }), undefined);
  // Without a period before, a route stands out by how often it fails.
  const { previous: _, ...unknown } = { ...row("/broken", 140, 10), errorRate: 14 };
  assert.equal(worstOf({ ...breakdown, rows: [unknown] })?.row.key[0], "/broken");
  assert.equal(worstOf({ ...breakdown, rows: [{ ...unknown, errorRate: 1.4 }] }), undefined);
});

test("a cause leads to its requests, those that failed where errors changed", () => {
  const figures = { now: 9, before: 0, requests: 9, contribution: 1, byRate: null, byMix: null, since: null };
  const route = { slice: { version: "", route: "/v1/checkout" }, ...figures };
  assert.equal(sliceText(route), "route /v1/checkout, (no version)");
  const own = requestsOf([{ field: "method", value: "GET", kind: "is" }], route, "errors");
  assert.deepEqual(
    own.map(({ field, value }) => `${field}:${value}`),
    ["method:GET", "route:/v1/checkout", "version:", "status_class:4xx", "status_class:5xx"],
  );
  const status = { slice: { status_code: "502" }, ...figures };
  assert.deepEqual(requestsOf([], status, "errorRate"), [{ field: "status_code", value: "502", kind: "is" }]);
  assert.deepEqual(requestsOf([], route, "requests").length, 2);
});

test("a trace has an address where there is a template, and the id is one", () => {
  const id = "0af7651916cd43dd8448eb211c80319c";
  const template = "https://traces.example.com/{trace_id}?tab=all&of={trace_id}";
  assert.equal(traceAddress(template, id), `https://traces.example.com/${id}?tab=all&of=${id}`);
  assert.equal(traceAddress(null, id), null);
  assert.equal(traceAddress(template, "../admin"), null);
});

test("the trends of tiles leave the unfinished bucket out, and a peak stays when bars are merged", () => {
  const series = { start: 0, end: 180, granularity: 60_000 };
  const groups: Record<string, [number, number][]> = {
    "2xx": [
      [0, 9],
      [60, 3],
      [120, 1],
    ],
    "5xx": [
      [0, 1],
      [60, 0],
      [120, 1],
    ],
  };
  assert.deepEqual(requestTrends({ ...series, groups }, true), { requests: [10, 3], errorRates: [10, 0] });
  assert.deepEqual(requestTrends({ ...series, groups }, false).requests, [10, 3, 2]);
  assert.deepEqual(requestTotals({ ...series, groups }), { requests: 15, errorRate: (100 * 2) / 15 });
  assert.deepEqual(requestTotals({ ...series, groups: {} }), { requests: 0, errorRate: 0 });
  assert.deepEqual(requestTrends({ ...series, groups: {} }, true), { requests: [], errorRates: [] });
  const percentiles: [number, number, number | null][] = [
    [0, 1, 5],
    [60, 2, null],
    [120, 3, 7],
  ];
  assert.deepEqual(trendOf({ ...series, groups: { shop: percentiles } }, 2, true), [5, 0]);
  assert.deepEqual(thinned([1, 9, 2, 3, 4], 3), [9, 3, 4]);
  assert.deepEqual(thinned([1, 2], 3), [1, 2]);
});

test("errors are kinds by name and status, whatever their routes, in the order that was asked for", () => {
  const row = (key: string[], requests: number, before: number, firstSeen: string) => ({
    key,
    requests,
    firstSeen,
    lastSeen: firstSeen,
    previous: { requests: before },
  });
  const breakdown = {
    by: ["error_type" as const, "route" as const, "status_code" as const],
    start: 0,
    end: 1,
    total: { requests: 45, errors: 45 },
    rows: [
      row(["UpstreamError", "/a", "502"], 20, 1, "2026-11-26T10:00:00Z"),
      row(["", "/a", "429"], 15, 15, "2026-11-25T10:00:00Z"),
      row(["", "/b", "429"], 10, 15, "2026-11-24T10:00:00Z"),
    ],
    pagination: { total: 3, limit: 1000, offset: 0, hasMore: false },
    estimated: false,
    source: "rollup" as const,
  };
  const [limited, upstream] = kindsOf(breakdown, "-requests");
  assert.deepEqual(limited?.key, ["", "429"]);
  assert.deepEqual(limited?.routes, ["/a", "/b"]);
  assert.equal(limited?.requests, 25);
  assert.equal(limited?.previous?.requests, 30);
  assert.equal(limited?.firstSeen, "2026-11-24T10:00:00Z");
  assert.deepEqual(upstream?.routes, ["/a"]);
  assert.deepEqual(kindsOf(breakdown, "-change:requests")[0]?.key, ["UpstreamError", "502"]);
  assert.deepEqual(kindsOf(breakdown, "firstSeen")[0]?.key, ["", "429"]);
  assert.equal(kindName("UpstreamError", "502"), "UpstreamError");
  assert.equal(kindName("", "429"), "rate_limit_exceeded");
  assert.equal(kindName("", "503"), "server_error");
  assert.equal(kindName("", "418"), "client_error");
});

test("consumers of a bucket are new in the one that they were first seen in", () => {
  const active: [number, number][] = [
    [3600, 2],
    [7200, 5],
    [10_800, 4],
  ];
  assert.deepEqual(newAndReturning(active, [0, 7200, 9000, 10_800]), {
    times: [3600, 7200, 10_800],
    fresh: [1, 2, 1],
    returning: [1, 3, 3],
  });
  assert.deepEqual(newAndReturning([], [5]), { times: [], fresh: [], returning: [] });
});

test("all others are the whole without a part, with percentiles of what is left", () => {
  const bounds = Array.from({ length: 200 }, (_, bucket) => Math.ceil(2 ** (bucket / 18)) - 1);
  const answer = (cells: [number, number][]) => ({
    value: "response_us",
    bounds,
    times: [0],
    counts: [cells],
    total: cells.reduce((sum, [, requests]) => sum + requests, 0),
    percentiles: { "50": 0, "99": 0 },
    max: 2000,
    min: 1,
    estimated: true,
  });
  const whole = answer([
    [120, 100],
    [180, 100],
  ]);
  const others = othersOf(whole, answer([[180, 99]]));
  assert.equal(others.total, 101);
  assert.deepEqual(others.counts, [
    [
      [120, 100],
      [180, 1],
    ],
  ]);
  const median = others.percentiles["50"] ?? 0;
  assert.ok(median >= (bounds[120] ?? 0) && median < (bounds[121] ?? 0));
  const slow = othersOf(whole, answer([[120, 99]])).percentiles["99"] ?? 0;
  assert.ok(slow >= (bounds[180] ?? 0) && slow < (bounds[181] ?? 0));
  assert.deepEqual(othersOf(whole, whole).percentiles, {});
  const drawn = drawable(whole);
  assert.deepEqual(drawn.counts, [
    [
      [20, 100],
      [30, 100],
    ],
  ]);
  assert.equal(drawn.bounds[20], bounds[120]);
  assert.equal(drawn.bounds.at(-1), bounds.at(-1));
});

test("percentiles stand beside those of the other period, where there is one", () => {
  const latency = { percentiles: { "50": 10, "95": 40 }, max: 90 };
  const alone = percentilesOf(latency);
  assert.deepEqual(alone[0], { name: "p50", now: 10, before: null });
  assert.deepEqual(alone.at(-1), { name: "max", now: 90, before: null });
  const previous = {
    percentiles: { "50": 5 },
    max: 80,
    times: [],
    counts: [],
    total: 9,
    min: 1,
    estimated: false,
    start: 0,
    end: 1,
  };
  assert.deepEqual(percentilesOf({ ...latency, previous })[0], { name: "p50", now: 10, before: 5 });
  assert.deepEqual(percentilesOf({ ...latency, previous })[3], { name: "p95", now: 40, before: null });
});

test("routes of earlier are unused where the range has none of their requests, the most requested first", () => {
  const before = [
    { key: ["/rare"], requests: 1 },
    { key: ["/used"], requests: 50 },
    { key: ["/often"], requests: 9 },
  ];
  const unused = unusedRoutes(before, new Set(["/used", "/fresh"]));
  assert.deepEqual(
    unused.map(({ key }) => key[0]),
    ["/often", "/rare"],
  );
});

test("an address chooses columns in the order of the table, and leaves out the usual ones", () => {
  const names = ["a", "b", "c"];
  assert.deepEqual(chosenOf(undefined, names, ["a", "b"]), ["a", "b"]);
  assert.deepEqual(chosenOf("c,x,a", names, names), ["a", "c"]);
  assert.deepEqual(chosenOf("x", names, names), names);
  assert.equal(choiceText(["a", "b"], ["a", "b"]), undefined);
  assert.equal(choiceText([], ["a"]), undefined);
  assert.equal(choiceText(["a", "c"], names), "a,c");
});

test("a heatmap is walked by cell, over the buckets that it shows", () => {
  const buckets = [4, 5, 7];
  assert.deepEqual(walkedCell(null, "ArrowLeft", 3, buckets), { time: 2, bucket: 4 });
  assert.deepEqual(walkedCell(null, "Home", 3, buckets), { time: 0, bucket: 4 });
  const cell = { time: 1, bucket: 5 };
  assert.deepEqual(walkedCell(cell, "ArrowUp", 3, buckets), { time: 1, bucket: 7 });
  assert.deepEqual(walkedCell({ time: 1, bucket: 7 }, "ArrowUp", 3, buckets), { time: 1, bucket: 7 });
  assert.deepEqual(walkedCell(cell, "ArrowRight", 3, buckets), { time: 2, bucket: 5 });
  assert.deepEqual(walkedCell({ time: 2, bucket: 4 }, "ArrowRight", 3, buckets), { time: 2, bucket: 4 });
  assert.deepEqual(walkedCell(cell, "Home", 3, buckets), { time: 0, bucket: 5 });
  for (const key of ["Enter", "Escape", "a"]) assert.equal(walkedCell(cell, key, 3, buckets), null);
  assert.equal(walkedCell(null, "ArrowLeft", 3, []), null);
});

test("what is recorded says how many events have a field, and how much of it", () => {
  const fields = { route: 10, consumer_id: 5, url: 10, client_ip: 10 };
  const recorded = { events: 10, fields, queries: "masked", clientIps: "truncated", maxWeight: 4, maxErrorWeight: 1 };
  const rows = Object.fromEntries(recordedRows({ ...recorded, queries: "masked", clientIps: "truncated" }));
  assert.equal(rows.Routes, "in all");
  assert.equal(rows.Consumers, "in 50.0\u202f%");
  assert.equal(rows.URLs, "in all, queries masked: names without values");
  assert.equal(rows["Client addresses"], "in all, truncated to networks");
  assert.equal(rows["User agents"], "not recorded");
  assert.equal(rows.Sampling, "on: an event stands for up to 4 requests; errors are all recorded");
  const whole = recordedRows({ ...recorded, queries: "full", clientIps: "full", maxWeight: 1 });
  assert.ok(whole.some(([, text]) => text === "off: every request is an event"));
  assert.deepEqual(recordedRows({ ...recorded, events: 0, queries: "none", clientIps: "none" }), [
    ["Events", "none in this range"],
  ]);
});

test("what collectors rejected and put aside is listed, the most first", () => {
  const spool = { spoolBytes: 0, spoolLimitBytes: 0, spoolFreeBytes: null, segments: 0, oldestSegmentS: 0 };
  const report = { ...spool, version: "", lastReport: "" };
  const rejectedAt = { invalid: "2026-11-26T10:43:58Z" };
  const counts = { received: 9, stored: 1, state: "ok" } as const;
  const collectors = [
    {
      ...{ ...report, ...counts, id: "a", rejected: { invalid: 3, timestamp_expired: 0 }, rejectedAt },
      ...{ quarantined: 0, quarantine: { pieces: 0, rows: 0, newestReason: "" } },
    },
    {
      ...{ ...report, ...counts, id: "b", rejected: { invalid: 4 }, rejectedAt: {} },
      ...{ quarantined: 5, quarantine: null },
    },
    {
      ...{ ...report, ...counts, id: "c", rejected: {}, rejectedAt: {} },
      ...{ quarantined: 0, quarantine: { pieces: 2, rows: 1, newestReason: "refused" } },
    },
  ];
  assert.deepEqual(rejections(collectors), [
    { reason: "invalid", collector: "b", events: 4, lastAt: null },
    { reason: "invalid", collector: "a", events: 3, lastAt: rejectedAt.invalid },
  ]);
  assert.deepEqual(setAside(collectors), [
    { collector: "c", pieces: 2, rows: 1, events: 0, reason: "refused" },
    { collector: "b", pieces: null, rows: null, events: 5, reason: "" },
  ]);
});

test("filters pass failures alone where all values of a field are failures", () => {
  const is = (field: "status_code" | "status_class" | "error_type", value: string) => ({
    field,
    value,
    kind: "is" as const,
  });
  assert.equal(areFailures([is("status_code", "502")]), true);
  assert.equal(areFailures([is("status_class", "4xx"), is("status_class", "5xx")]), true);
  assert.equal(areFailures([is("status_class", "4xx"), is("status_class", "2xx")]), false);
  assert.equal(areFailures([is("error_type", "")]), false);
  assert.equal(areFailures([{ field: "status_code", value: "502", kind: "not" }]), false);
  assert.equal(areFailures([]), false);
});
