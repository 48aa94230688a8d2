import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

type Rgb = readonly [number, number, number];

const css = readFileSync("src/styles/tokens.css", "utf8");
const tokens = new Map(
  [...css.matchAll(/(--[\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)].map(([, name, light, dark]) => [
    name ?? "",
    [linear(light ?? ""), linear(dark ?? "")] as const,
  ]),
);
const SCHEMES = ["light", "dark"] as const;

function linear(hex: string): Rgb {
  const channel = (at: number) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
}

function colour(name: string, scheme: number): Rgb {
  const found = tokens.get(name)?.[scheme];
  assert.ok(found, name);
  return found;
}

function luminance([r, g, b]: Rgb): number {
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: Rgb, b: Rgb): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

function times(matrix: readonly number[], [r, g, b]: Rgb): Rgb {
  const row = (at: number) => (matrix[at] ?? 0) * r + (matrix[at + 1] ?? 0) * g + (matrix[at + 2] ?? 0) * b;
  return [row(0), row(3), row(6)];
}

/** Björn Ottosson's OKLab of a linear colour. */
function oklab(rgb: Rgb): Rgb {
  const lms = times(
    [
      0.4122214708, 0.5363325363, 0.0514459929, 0.2119034982, 0.6806995451, 0.1073969566, 0.0883024619, 0.2817188376,
      0.6299787005,
    ],
    rgb,
  );
  return times(
    [
      0.2104542553, 0.793617785, -0.0040720468, 1.9779984951, -2.428592205, 0.4505937099, 0.0259040371, 0.7827717662,
      -0.808675766,
    ],
    lms.map((value) => Math.cbrt(Math.max(0, value))) as unknown as Rgb,
  );
}

/** How a person sees: as most do, and without the first, second or third cone (Machado 2009, full severity). */
const SIGHTS = {
  usual: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};

function distance(a: Rgb, b: Rgb, sight: readonly number[]): number {
  const [x, y] = [a, b].map((rgb) => oklab(times(sight, rgb))) as [Rgb, Rgb];
  return Math.hypot(x[0] - y[0], x[1] - y[1], x[2] - y[2]);
}

function nearest(names: readonly string[], scheme: number, sights: readonly (readonly number[])[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const [index, name] of names.entries()) {
    for (const other of names.slice(index + 1)) {
      for (const sight of sights) {
        least = Math.min(least, distance(colour(name, scheme), colour(other, scheme), sight));
      }
    }
  }
  return least;
}

for (const [scheme, name] of SCHEMES.entries()) {
  test(`words have a contrast of 4.5 in ${name}, lines and bars of 3`, () => {
    const surface = colour("--surface", scheme);
    for (const token of ["--text", "--soft", "--accent", "--good", "--warn", "--bad"]) {
      assert.ok(contrast(colour(token, scheme), surface) >= 4.5, token);
    }
    assert.ok(contrast(colour("--soft", scheme), colour("--sunken", scheme)) >= 4.5);
    assert.ok(contrast(colour("--accent", scheme), colour("--accent-weak", scheme)) >= 4.5);
    assert.ok(contrast(colour("--on-accent", scheme), colour("--accent", scheme)) >= 4.5);
    const drawn = [...tokens.keys()].filter((token) => /^--(line-strong|status|p\d|s\d|other)/.test(token));
    assert.equal(drawn.length, 15);
    for (const token of drawn) assert.ok(contrast(colour(token, scheme), surface) >= 3, token);
  });

  test(`series are told apart in ${name}, whichever cones a person has`, () => {
    const sights = Object.values(SIGHTS);
    const series = [1, 2, 3, 4, 5, 6].map((number) => `--s${number}`);
    assert.ok(
      nearest(series, scheme, sights) >= (scheme === 0 ? 0.1 : 0.09),
      String(nearest(series, scheme, sights)),
    );
    const classes = [2, 3, 4, 5].map((number) => `--status-${number}xx`);
    assert.ok(nearest(classes, scheme, sights) >= 0.07, String(nearest(classes, scheme, sights)));
    assert.ok(nearest(["--p50", "--p95", "--p99"], scheme, sights) >= 0.15);
  });

  test(`the heatmap goes from few to many in one direction in ${name}`, () => {
    const steps = Array.from({ length: 9 }, (_, step) => colour(`--heat-${step + 1}`, scheme));
    for (const [index, step] of steps.slice(1).entries()) {
      const before = steps[index] ?? step;
      assert.ok(luminance(step) > luminance(before) === (scheme === 1), `step ${index + 2}`);
      assert.ok(distance(step, before, SIGHTS.usual) >= 0.07, `step ${index + 2}`);
    }
  });
}
