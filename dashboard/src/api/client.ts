/** Questions to the service: four at once, each can be given up, answers are remembered for *Back*. */

import { credential } from "../session.ts";

/** The root of the dashboard and of the API, also under a prefix of a reverse proxy. */
export const ROOT = new URL("../", import.meta.url);

const AT_ONCE = 4;
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
  ) {
    super(message);
  }
}

interface Kept {
  answer: unknown;
  atMs: number;
}

const kept = new Map<string, Kept>();
const waiting: (() => void)[] = [];
let running = 0;

/** Ask `path?query` and return its JSON.
 *
 * @throws ApiError the service refused, or did not answer
 */
export async function ask<T>(address: string, signal: AbortSignal): Promise<T> {
  await turn(signal);
  try {
    const answer = await send("GET", address, undefined, signal);
    remember(address, answer);
    return answer as T;
  } finally {
    running -= 1;
    waiting.shift()?.();
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
  }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The service does not answer.");
  });
  if (response.status === 204) return null;
  const text = await response.text();
  const answer = parsed(text);
  if (!response.ok) throw new ApiError(response.status, messageOf(answer, response.status), retryAfter(response));
  return answer;
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

async function turn(signal: AbortSignal): Promise<void> {
  while (running >= AT_ONCE) {
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
    });
  }
  // The slot goes to the next question where this one was given up meanwhile.
  if (signal.aborted) waiting.shift()?.();
  signal.throwIfAborted();
  running += 1;
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
