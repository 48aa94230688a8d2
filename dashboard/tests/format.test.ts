import assert from "node:assert/strict";
import { test } from "node:test";
import {
  estimated,
  formatBytes,
  formatCount,
  formatCounted,
  formatDuration,
  formatExact,
  formatMs,
  formatPercent,
  formatRate,
  shardWords,
  visibleText,
} from "../src/format.ts";

function table<T>(format: (value: T) => string, cases: readonly [T, string][]): void {
  for (const [value, text] of cases) assert.equal(format(value).replaceAll("\u202f", " "), text, String(value));
}

test("counts are whole up to 99,999 and have three digits above", () => {
  table(formatCount, [
    [0, "0"],
    [34_929, "34,929"],
    [99_999, "99,999"],
    [100_000, "100 K"],
    [999_499, "999 K"],
    [999_600, "1 M"],
    [1_204_311, "1.2 M"],
    [12_345_678, "12.3 M"],
    [1e9, "1 B"],
    [-1500, "−1,500"],
    [null, "–"],
    [undefined, "–"],
  ]);
  table(formatExact, [[1_204_311, "1,204,311"]]);
});

test("durations take the unit that reads best", () => {
  table(formatDuration, [
    [0, "0 µs"],
    [412, "412 µs"],
    [9600, "9.6 ms"],
    [247_000, "247 ms"],
    [999_600, "1.00 s"],
    [3_390_000, "3.39 s"],
    [61_000_000, "61 s"],
    [720_000_000, "12 min"],
    [null, "–"],
  ]);
});

test("durations in milliseconds have no digit that is not known", () => {
  table(formatMs, [
    [0, "<0.1 ms"],
    [0.5, "0.5 ms"],
    [4.2, "4.2 ms"],
    [1500, "1.50 s"],
    [null, "–"],
  ]);
});

test("sizes go in steps of 1024", () => {
  table(formatBytes, [
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KB"],
    [20_132_659, "19 MB"],
    [5 * 1024 ** 4, "5 TB"],
    [null, "–"],
  ]);
});

test("100 % is exact and 0 % is nothing", () => {
  table(formatPercent, [
    [100, "100 %"],
    [99.97, ">99.9 %"],
    [0, "0.0 %"],
    [0.01, "<0.1 %"],
    [4.6, "4.6 %"],
    [null, "–"],
  ]);
  table(formatRate, [
    [97.2, "97/min"],
    [0.4, "0.4/min"],
    [0, "0/min"],
    [null, "–"],
  ]);
  assert.equal(formatRate(0, 63), "<0.1/min");
});

test("a count of samples has a sign, and nothing has none", () => {
  assert.equal(estimated(formatCount(1200), true), "≈1,200");
  assert.equal(estimated(formatCount(1200), false), "1,200");
  assert.equal(estimated(formatRate(12), true), "≈12/min");
  assert.equal(estimated(formatRate(0, 63), true), "<0.1/min");
  for (const text of [formatCount(0), formatRate(0), formatCount(null)]) assert.equal(estimated(text, true), text);
});

test("control characters and overrides are shown as signs, long texts are cut in the middle", () => {
  assert.equal(visibleText("a\r\n\u202eb\u007f"), "a␍␊⟨202E⟩b␡");
  const cut = visibleText("x".repeat(100) + "y".repeat(8000), 100);
  assert.equal(cut.length, 99);
  assert.match(cut, /^x+…y+$/);
});

test("shards are named by their numbers", () => {
  assert.equal(shardWords([]), "");
  assert.equal(shardWords([2]), "Shard 2");
  assert.equal(shardWords([1, 2, 4]), "Shards 1, 2 and 4");
});

test("one thing is not many", () => {
  assert.deepEqual(
    [0, 1, 1200].map((number) => formatCounted(number, "kind")),
    ["0 kinds", "1 kind", "1,200 kinds"],
  );
});
