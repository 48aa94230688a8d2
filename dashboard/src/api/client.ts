/** Questions to the service: four at once, each can be given up, answers are remembered for *Back*.
 *
 * The first figures of a page are asked first, with nothing beside them: the service has a few processors, and what is
 * asked at once takes its time from the figures that are looked at first. A question that is asked already
 * is not asked twice.
 */

import { signal as stateOf } from "@preact/signals";
import { credential } from "../session.ts";

/** The root of the dashboard and of the API, also under a prefix of a reverse proxy. */
export const ROOT = new URL("../", import.meta.url);

const AT_ONCE = 4;
/** How many questions run while first ones do. */
const WITH_FIRST = 1;
const KEPT_ANSWERS = 50;
const KEPT_MS = 5 * 60 * 1000;

/** An answer other than 2xx, or none. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    /** 0: no answer came. */
    readonly status: number,
    message: string,
    readonly retryAfterS: number | null = null,
    /** The shards of the store's cluster that do not answer, by their numbers. */
    readonly missingShards: readonly number[] = [],
  ) {
    super(message);
  }
}

/** The shards that are missing from the newest answer that may leave shards out. */
export const missingShards = stateOf<readonly number[]>([]);

interface Kept {
  answer: unknown;
  atMs: number;
}

const kept = new Map<string, Kept>();
const asked = new Map<string, Asked>();
const waiting: (() => void)[] = [];
let running = 0;
let firstOnes = 0;

/** A question that is on its way, and how many panels wait for it. */
interface Asked {
  answer: Promise<unknown>;
  giveUp: AbortController;
  waiting: number;
}

/** Ask `path?query` and return its JSON. A question of the first figures comes before those that wait.
 *
 * @throws ApiError the service refused, or did not answer
 */
export async function ask<T>(address: string, signal: AbortSignal, isFirst = false): Promise<T> {
  signal.throwIfAborted();
  const key = keyOf(address);
  const known = asked.get(key) ?? begun(key, address, isFirst);
  known.waiting += 1;
  const leave = () => {
    known.waiting -= 1;
    if (known.waiting > 0) return;
    known.giveUp.abort();
    if (asked.get(key) === known) asked.delete(key);
  };
  signal.addEventListener("abort", leave, { once: true });
  try {
    const answer = await known.answer;
    signal.throwIfAborted();
    return answer as T;
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

function begun(key: string, address: string, isFirst: boolean): Asked {
  const giveUp = new AbortController();
  const answer = answered(address, giveUp.signal, isFirst).finally(() => {
    if (asked.get(key)?.giveUp === giveUp) asked.delete(key);
  });
  const question = { answer, giveUp, waiting: 0 };
  asked.set(key, question);
  return question;
}

async function answered(address: string, signal: AbortSignal, isFirst: boolean): Promise<unknown> {
  firstOnes += isFirst ? 1 : 0;
  try {
    await turn(isFirst);
    try {
      signal.throwIfAborted();
      const answer = await send("GET", address, undefined, signal);
      remember(address, answer);
      if (isPartial(address)) missingShards.value = missingIn(answer);
      return answer;
    } finally {
      running -= 1;
    }
  } finally {
    firstOnes -= isFirst ? 1 : 0;
    next();
  }
}

/** Send a change, with a body as JSON, under another key where one is given.
 *
 * @throws ApiError
 */
export async function change<T>(method: string, address: string, body?: unknown, key?: string): Promise<T> {
  return (await send(method, address, body, undefined, key)) as T;
}

/** Return the remembered answer to a question of the last five minutes, or undefined. */
export function remembered<T>(address: string): T | undefined {
  const entry = kept.get(keyOf(address));
  if (entry === undefined || performance.now() - entry.atMs > KEPT_MS) return undefined;
  return entry.answer as T;
}

/** Forget all answers, as at a refresh or another sign-in. */
export function forgetAnswers(): void {
  kept.clear();
}

/** Return the headers of a question under the credential, or under another key. */
export function headersFor(key?: string): Record<string, string> {
  const secret = key ?? credential.value?.secret;
  return secret === undefined ? {} : { "X-API-Key": secret };
}

async function send(
  method: string,
  address: string,
  body: unknown,
  signal?: AbortSignal,
  key?: string,
): Promise<unknown> {
  const headers = headersFor(key);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(new URL(address, ROOT), {
    method,
    headers,
    cache: "no-store",
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  }).catch(unanswered);
  if (response.status === 204) return null;
  const answer = parsed(await response.text().catch(unanswered));
  if (response.ok) return answer;
  throw new ApiError(response.status, messageOf(answer, response.status), retryAfter(response), missingIn(answer));
}

/** Turn the end of a connection, before or amid an answer, into the error that says so. */
function unanswered(error: unknown): never {
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  throw new ApiError(0, "The service does not answer.");
}

/** Return whether a question may be answered without the shards that do not answer. */
export function isPartial(address: string): boolean {
  return /[?&]partial=1/.test(address);
}

/** Return the numbers of the shards whose events are not in an answer. */
export function missingIn(answer: unknown): readonly number[] {
  if (typeof answer !== "object" || answer === null || !("missing_shards" in answer)) return [];
  const { missing_shards: missing } = answer;
  return Array.isArray(missing) ? missing.filter((shard) => typeof shard === "number") : [];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function messageOf(answer: unknown, status: number): string {
  if (typeof answer === "object" && answer !== null && "message" in answer && typeof answer.message === "string") {
    return answer.message;
  }
  return `The service answered ${status}.`;
}

function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
}

function turn(isFirst: boolean): Promise<void> {
  return new Promise((resolve) => {
    if (isFirst) waiting.unshift(resolve);
    else waiting.push(resolve);
    // Panels ask one after the other within one task: the first figures may come last.
    queueMicrotask(next);
  });
}

function next(): void {
  while (running < (firstOnes > 0 ? WITH_FIRST : AT_ONCE)) {
    const begin = waiting.shift();
    if (begin === undefined) return;
    running += 1;
    begin();
  }
}

function remember(address: string, answer: unknown): void {
  kept.delete(keyOf(address));
  kept.set(keyOf(address), { answer, atMs: performance.now() });
  const oldest = kept.keys().next().value;
  if (kept.size > KEPT_ANSWERS && oldest !== undefined) kept.delete(oldest);
}

function keyOf(address: string): string {
  return `${credential.value?.secret ?? ""} ${address}`;
}
