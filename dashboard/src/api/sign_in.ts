/** Sign in and out: a key is exchanged for a session at once, and a key in the address is removed unread. */

import { signal } from "@preact/signals";
import { credential, forget, signIn } from "../session.ts";
import type { Me } from "./answers.ts";
import { ApiError, change, forgetAnswers, headersFor, ROOT } from "./client.ts";

/** Why the login shows, as a sentence; empty at the first visit. */
export const signInReason = signal("");

/** Exchange a read or admin key for a session, and keep the session.
 *
 * @throws ApiError the key is not valid, or not one that may look
 */
export async function signInWithKey(key: string, stays: boolean): Promise<void> {
  const me = await meWith(key);
  const hours = me.kind === "admin" ? 12 : stays ? 720 : 12;
  const session = await change<{ token: string }>("POST", "v1/session", { hours }, key);
  begin(session.token, me.kind === "admin" ? "admin" : "read", stays);
}

/** Exchange the sign-in code that the command printed at its first start.
 *
 * @throws ApiError
 */
export async function signInWithCode(code: string): Promise<void> {
  const session = await change<{ token: string }>("POST", "v1/sign-in", { code: code.trim().toUpperCase() });
  const me = await meWith(session.token);
  begin(session.token, me.kind === "admin" ? "admin" : "read", false);
}

/** Revoke the session and forget it. */
export async function signOut(): Promise<void> {
  const secret = credential.value?.secret;
  forget();
  forgetAnswers();
  if (secret === undefined) return;
  await change("DELETE", "v1/session", undefined, secret).catch((error: unknown) => {
    // The session is forgotten here in any case; one that is dead already needs no revoking.
    if (!(error instanceof ApiError)) throw error;
  });
}

/** Show the login again, as the credential is not valid any more. */
export function sessionEnded(): void {
  if (credential.value === null) return;
  signInReason.value =
    credential.value.kind === "share" ? "This link is not valid any more." : "This key is not valid any more.";
  forget();
  forgetAnswers();
}

/** Remove a key that was pasted into the address, and say why it was not used. */
export function dropKeyFromAddress(): void {
  const url = new URL(location.href);
  const inFragment = new URLSearchParams(url.hash.slice(1));
  if (!url.searchParams.has("key") && !inFragment.has("key")) return;
  url.searchParams.delete("key");
  if (inFragment.has("key")) url.hash = "";
  history.replaceState(null, "", url);
  signInReason.value =
    "A key in an address is stored by browsers and proxies, so it was removed and not used. Paste it here.";
}

async function meWith(key: string): Promise<Me> {
  const response = await fetch(new URL("v1/me", ROOT), { headers: headersFor(key), cache: "no-store" }).catch(() => {
    throw new ApiError(0, "The service does not answer.");
  });
  const answer: unknown = await response.json();
  if (!response.ok) {
    const message =
      response.status === 401
        ? "This key is not valid."
        : "A write key sends events. Sign in with a read or admin key.";
    throw new ApiError(response.status, message);
  }
  return answer as Me;
}

function begin(token: string, kind: "read" | "admin", stays: boolean): void {
  forgetAnswers();
  signInReason.value = "";
  signIn(token, kind, stays);
}
