/** Numbers, durations, sizes and texts as the page shows them. Pure. */

/** What stands where there is no value; never 0. */
export const MISSING = "–";

const NARROW = "\u202f";
const MINUS = "−";

/** Return a count: in full up to 99,999, then three digits with K, M, B. */
export function formatCount(count: number | null | undefined): string {
  if (count === null || count === undefined) return MISSING;
  const size = Math.abs(count);
  if (size < 100_000) return signed(count, grouped(size));
  const units: [number, string][] = [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "K"],
  ];
  for (const [unit, letter] of units) {
    // 999,950 would round to 1000 K.
    if (size >= unit * 0.9995) return signed(count, `${threeDigits(size / unit)}${NARROW}${letter}`);
  }
  return signed(count, grouped(size));
}

/** Return a number of things in words, as "1 route" and "2 routes". */
export function formatCounted(number: number, thing: string): string {
  return `${formatExact(number)} ${thing}${number === 1 ? "" : "s"}`;
}

/** Return a whole number with comma groups. */
export function formatExact(count: number | null | undefined): string {
  if (count === null || count === undefined) return MISSING;
  return signed(count, grouped(Math.abs(count)));
}

/** Return a duration, given in microseconds: `412 µs`, `9.6 ms`, `247 ms`, `3.39 s`, `61 s`, `12 min`. */
export function formatDuration(us: number | null | undefined): string {
  if (us === null || us === undefined) return MISSING;
  if (us < 1000) return `${Math.round(us)}${NARROW}µs`;
  if (us < 999_500) return `${threeDigits(us / 1000, us < 99_950 ? 1 : 0)}${NARROW}ms`;
  const s = us / 1e6;
  if (s < 10) return `${s.toFixed(2)}${NARROW}s`;
  if (s < 120) return `${Math.round(s)}${NARROW}s`;
  if (s < 7200) return `${Math.round(s / 60)}${NARROW}min`;
  return `${Math.round(s / 3600)}${NARROW}h`;
}

/** Return a duration, given in milliseconds with one decimal: what is below has no digit that is known. */
export function formatMs(ms: number | null | undefined): string {
  if (ms === 0) return `<0.1${NARROW}ms`;
  if (ms !== null && ms !== undefined && ms < 1) return `${ms.toFixed(1)}${NARROW}ms`;
  return formatDuration(ms === null || ms === undefined ? ms : ms * 1000);
}

/** Return a size in steps of 1024. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return MISSING;
  if (bytes < 1024) return `${Math.round(bytes)}${NARROW}B`;
  let size = bytes / 1024;
  for (const unit of ["KB", "MB", "GB"]) {
    if (size < 999.5) return `${threeDigits(size, size < 9.95 ? 1 : 0)}${NARROW}${unit}`;
    size /= 1024;
  }
  return `${threeDigits(size, size < 9.95 ? 1 : 0)}${NARROW}TB`;
}

/** Return a percentage with one decimal; 100 % only where it is exact, and never 0 where something is there. */
export function formatPercent(percent: number | null | undefined): string {
  if (percent === null || percent === undefined) return MISSING;
  if (percent > 0 && percent < 0.05) return `<0.1${NARROW}%`;
  if (percent < 100 && percent >= 99.95) return `>99.9${NARROW}%`;
  if (percent === 100) return `100${NARROW}%`;
  return `${signed(percent, Math.abs(percent).toFixed(1))}${NARROW}%`;
}

/** Return a rate per minute, with one decimal at the most: never 0 where there are requests. */
export function formatRate(perMinute: number | null | undefined, requests = 0): string {
  if (perMinute === null || perMinute === undefined) return MISSING;
  if (perMinute < 0.05 && requests > 0) return "<0.1/min";
  const text = perMinute >= 10 || perMinute === 0 ? formatCount(Math.round(perMinute)) : perMinute.toFixed(1);
  return `${text}/min`;
}

/** Return the text of a count with the sign of an estimate where it is one; nothing and a bound are none. */
export function estimated(text: string, isEstimate: boolean): string {
  return isEstimate && text !== MISSING && !/^(<|0(\/|$))/.test(text) ? `≈${text}` : text;
}

/** Return what stands beside percentiles that come from latency buckets. */
export function margin(isEstimate: boolean): string {
  return isEstimate ? " ±2 %" : "";
}

/** Return `~` for a moment of which only the hour is known. */
export function about(text: string): string {
  return /:00:00(\.0+)?Z$/.test(text) ? "~" : "";
}

/** Return shards by their numbers, `Shards 2 and 3`; empty where there are none. */
export function shardWords(shards: readonly number[]): string {
  if (shards.length < 2) return shards.map((shard) => `Shard ${shard}`).join("");
  return `Shards ${shards.slice(0, -1).join(", ")} and ${shards.at(-1)}`;
}

/** Return a text with control characters and bidirectional overrides as visible signs, cut in the middle if long. */
export function visibleText(text: string, maxCharacters = 200): string {
  const shown = text.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, sign);
  if (shown.length <= maxCharacters) return shown;
  const half = Math.floor((maxCharacters - 1) / 2);
  return `${shown.slice(0, half)}…${shown.slice(-half)}`;
}

function sign(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `⟨${code.toString(16).toUpperCase()}⟩`;
}

function grouped(size: number): string {
  return Math.round(size).toLocaleString("en-US");
}

function threeDigits(size: number, decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0): string {
  const text = size.toFixed(decimals);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function signed(value: number, text: string): string {
  return value < 0 ? `${MINUS}${text}` : text;
}
