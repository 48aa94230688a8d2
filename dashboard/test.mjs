// Run the tests of the pure modules: esbuild makes plain JavaScript of each, Node's own runner runs them.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { build } from "esbuild";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const out = mkdtempSync(join(tmpdir(), "apimetry-tests-"));
const names = readdirSync(join(here, "tests")).filter((name) => name.endsWith(".test.ts"));
await build({
  entryPoints: names.map((name) => join(here, "tests", name)),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  absWorkingDir: here,
});
const files = names.map((name) => join(out, name.replace(/\.ts$/, ".mjs")));
run({ files, concurrency: true })
  .on("test:fail", () => {
    process.exitCode = 1;
  })
  .compose(spec)
  .pipe(process.stdout)
  .on("finish", () => rmSync(out, { recursive: true }));
process.on("exit", () => rmSync(out, { recursive: true, force: true }));
