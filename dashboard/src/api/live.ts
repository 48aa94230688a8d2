/** Requests as they arrive: a stream of server-sent events over `fetch`, since `EventSource` can send no key. */

import type { StoredEvent } from "./answers.ts";
import { ApiError, headersFor, ROOT } from "./client.ts";

export interface LiveMessages {
  onEvent: (event: StoredEvent) => void;
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
      for await (const message of messagesOf(response.body)) {
        if (message.id !== "") lastId = message.id;
        deliver(message, messages);
      }
    } catch (error) {
      if (signal.aborted) return;
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

async function* messagesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Message> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) yield messageOf(block);
    }
  } finally {
    reader.releaseLock();
  }
}

function deliver({ event, data }: Message, messages: LiveMessages): void {
  if (data === "") return;
  const content: unknown = JSON.parse(data);
  if (event === "request") messages.onEvent(content as StoredEvent);
  else if (event === "thinned") {
    const { shown, of } = content as { shown: number; of: number };
    messages.onThinned(shown, of);
  } else if (event === "end") messages.onEnd((content as { reason: string }).reason);
}
