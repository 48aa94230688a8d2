// Build the page: one script, one style, index.html and the licences, each also compressed.
// `node build.mjs OUT [--watch]`; OUT is emptied first.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { uplotParts } from "./uplot_parts.mjs";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const SHIPPED = ["preact", "@preact/signals", "@preact/signals-core", "uplot"];
const out = process.argv[2];
if (out === undefined) throw new Error("usage: node build.mjs OUT [--watch]");

async function buildAll() {
  const script = await bundle("src/main.tsx", { format: "esm", jsx: "automatic", jsxImportSource: "preact" });
  const style = await bundle("src/styles/main.css", {});
  const icon = readFileSync(join(here, "icon.svg"));
  const names = {
    script: hashed("app.js", script),
    style: hashed("app.css", style),
    icon: hashed("icon.svg", icon),
  };
  rmSync(out, { recursive: true, force: true });
  mkdirSync(join(out, "assets"), { recursive: true });
  write(join("assets", names.script), script);
  write(join("assets", names.style), style);
  write(join("assets", names.icon), icon);
  const page = readFileSync(join(here, "index.html"), "utf8");
  write("index.html", Buffer.from(page.replace(/\{(script|style|icon)\}/g, (_, name) => names[name])));
  write("licenses.txt", Buffer.from(licences()));
}

async function bundle(entry, options) {
  const result = await build({
    entryPoints: [join(here, entry)],
    bundle: true,
    minify: true,
    write: false,
    target: ["es2022", "chrome123", "firefox120", "safari17.5"],
    legalComments: "none",
    plugins: [uplotParts],
    ...options,
  });
  return Buffer.from(result.outputFiles[0].contents);
}

function hashed(name, bytes) {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  return `${basename(name, extname(name))}-${hash}${extname(name)}`;
}

function write(name, bytes) {
  writeFileSync(join(out, name), bytes);
  if (name === "index.html" || name === "licenses.txt") return;
  writeFileSync(join(out, `${name}.gz`), gzipSync(bytes, { level: 9 }));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  writeFileSync(join(out, `${name}.br`), brotliCompressSync(bytes, { params }));
}

function licences() {
  return SHIPPED.map((name) => {
    const folder = join(here, "node_modules", name);
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8")}`;
  }).join("\n\n");
}

await buildAll();
if (process.argv.includes("--watch")) {
  let due;
  watch(join(here, "src"), { recursive: true }, () => {
    clearTimeout(due);
    due = setTimeout(() => buildAll().catch((error) => process.stderr.write(`${error.message}\n`)), 100);
  });
}
