import assert from "node:assert/strict";
import { test } from "node:test";
import { align, isUnfinished, stacked, total } from "../src/buckets.ts";
import { walked } from "../src/charts/keyboard.ts";
import { changeInPoints, changeOf } from "../src/compare.ts";
import { csvOf } from "../src/csv.ts";
import { addFilters, parseFilter, parseSlowness, slownessText, withFilter } from "../src/filters.ts";
import { attentionRows } from "../src/pages/attention.ts";
import { requestsOf, sliceText } from "../src/pages/causes.ts";
import { traceAddress } from "../src/traces.ts";
import { clockTime, offsetS, startOfDay } from "../src/zones.ts";

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

test("a day of a zone has 23, 24 or 25 hours", () => {
  const days = [
    [Date.UTC(2026, 2, 29, 12) / 1000, 23],
    [Date.UTC(2026, 9, 25, 12) / 1000, 25],
    [Date.UTC(2026, 5, 1, 12) / 1000, 24],
  ] as const;
  for (const [noonS, hours] of days) {
    const start = startOfDay(noonS, "Europe/Berlin");
    assert.equal(clockTime(start, "Europe/Berlin").time, "00:00:00");
    assert.equal(startOfDay(start + 26 * 3600, "Europe/Berlin") - start, hours * 3600);
  }
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
