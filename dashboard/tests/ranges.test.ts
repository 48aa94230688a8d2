import assert from "node:assert/strict";
import { test } from "node:test";
import { coarser, finer, MAX_POINTS, RANGES, roundedEnd, stepSeconds, stepsFor } from "../src/ranges.ts";

test("no span asks for more than 160 points", () => {
  for (let spanS = 1; spanS < 40 * 365 * 86_400; spanS = Math.ceil(spanS * 1.07)) {
    for (const step of Object.values(stepsFor(spanS))) {
      if (step === "month") continue;
      assert.ok(spanS / stepSeconds(step) <= MAX_POINTS, `${spanS} s by ${step}`);
    }
  }
});

test("a span of more than 40 seconds has at least 20 points", () => {
  for (let spanS = 41; spanS < 3 * 365 * 86_400; spanS = Math.ceil(spanS * 1.07)) {
    const { countStep } = stepsFor(spanS);
    assert.ok(spanS / stepSeconds(countStep) >= 20, `${spanS} s by ${countStep}`);
  }
});

test("named ranges keep within 160 points, too", () => {
  for (const { lengthS, countStep, percentileStep } of RANGES) {
    if (lengthS === null) continue;
    assert.ok(lengthS / stepSeconds(countStep) <= 180);
    assert.ok(stepSeconds(percentileStep) >= stepSeconds(countStep));
  }
});

test("everybody who looks in the same ten seconds asks for the same end", () => {
  assert.equal(roundedEnd(1_795_691_039.9, 3600), 1_795_691_030);
  assert.equal(roundedEnd(1_795_691_039.9, 86_400), 1_795_690_980);
  assert.equal(roundedEnd(1_795_691_039.9, null), 1_795_690_980);
});

test("in the first hour of an application an end is a whole second", () => {
  assert.equal(roundedEnd(1_795_691_039.9, 86_400, 1_795_691_037), 1_795_691_039);
  assert.equal(roundedEnd(1_795_691_039.9, 86_400, 1_795_687_439), 1_795_690_980);
});

test("finer stops where the points would be too many, coarser at months", () => {
  assert.equal(finer(3600, 86_400), 900);
  assert.equal(finer(60, 86_400), 60);
  assert.equal(coarser("week"), "month");
  assert.equal(coarser("month"), "month");
});
