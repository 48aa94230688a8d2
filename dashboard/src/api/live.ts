/** Requests as they arrive: a stream of server-sent events over `fetch`, since `EventSource` can send no key. */

import type { StoredEvent } from "./answers.ts";
import { ApiError, headersFor, ROOT } from "./client.ts";
import { sessionEnded } from "./sign_in.ts";

export interface LiveMessages {
  /** The stream is open, for the first time or again. */
  onOpen: () => void;
  /** Requests that came together, the oldest first. */
  onEvents: (events: readonly StoredEvent[]) => void;
  /** The stream shows `shown` of `of` requests of a second. */
  onThinned: (shown: number, of: number) => void;
  /** The stream ended; it is opened again unless the reason is final. */
  onEnd: (reason: string) => void;
}

const AGAIN_MS = 2000;

/** Follow the stream at an address until the signal, and open it again where it ends. */
export async function follow(address: string, messages: LiveMessages, signal: AbortSignal): Promise<void> {
  let lastId = "";
  while (!signal.aborted) {
    try {
      const headers = { ...headersFor(), ...(lastId === "" ? {} : { "Last-Event-ID": lastId }) };
      const response = await fetch(new URL(address, ROOT), { headers, signal, cache: "no-store" });
      if (!response.ok || response.body === null) throw new ApiError(response.status, "The stream cannot be opened.");
      messages.onOpen();
      for await (const together of messagesOf(response.body)) {
        lastId = together.findLast(({ id }) => id !== "")?.id ?? lastId;
        deliver(together, messages);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status === 401) sessionEnded();
      const isPassing = error instanceof TypeError || (error instanceof ApiError && error.status >= 500);
      messages.onEnd(isPassing ? "Not reachable. Trying again." : String((error as Error).message));
      if (!isPassing) return;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

export interface Message {
  event: string;
  id: string;
  data: string;
}

/** Return the message of the lines of one block of a stream. */
export function messageOf(block: string): Message {
  const message: Message = { event: "message", id: "", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "event") message.event = value;
    else if (name === "id") message.id = value;
    else if (name === "data") message.data += (message.data === "" ? "" : "\n") + value;
  }
  return message;
}

/** Yield the messages of each piece of a stream together. */
async function* messagesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<readonly Message[]> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      if (blocks.length > 0) yield blocks.map(messageOf);
    }
  } finally {
    reader.releaseLock();
  }
}

function deliver(together: readonly Message[], messages: LiveMessages): void {
  const requests = together.filter(({ event, data }) => event === "request" && data !== "");
  if (requests.length > 0) messages.onEvents(requests.map(eventOf));
  for (const { event, data } of together) {
    if (data === "") continue;
    if (event === "thinned") {
      const { shown, of } = JSON.parse(data) as { shown: number; of: number };
      messages.onThinned(shown, of);
    } else if (event === "end") messages.onEnd((JSON.parse(data) as { reason: string }).reason);
  }
}

/** Return the request of a message, with the message's id, which the data does not repeat. */
export function eventOf({ id, data }: Message): StoredEvent {
  return { ...(JSON.parse(data) as Omit<StoredEvent, "id">), id };
}
