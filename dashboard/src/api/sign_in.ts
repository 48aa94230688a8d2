/** Sign in and out; a key in the address is removed unread. */

import { signal } from "@preact/signals";
import { credential, forget, signIn } from "../session.ts";
import type { Me } from "./answers.ts";
import { ApiError, forgetAnswers, headersFor, ROOT } from "./client.ts";

/** Why the login shows, as a sentence; empty at the first visit. */
export const signInReason = signal("");

/** Check a read or admin key, and keep it for this tab, or a read key for this browser where it `stays`.
 *
 * @throws ApiError the key is not valid, or not one that may look
 */
export async function signInWithKey(key: string, stays: boolean): Promise<void> {
  const answer = await meWith(key);
  forgetAnswers();
  signInReason.value = "";
  signIn(key, answer.kind === "admin" ? "admin" : "read", stays);
}

/** Forget the key and all answers. */
export function signOut(): void {
  forget();
  forgetAnswers();
}

/** Show the login again, as the credential is not valid any more. */
export function sessionEnded(): void {
  if (credential.value === null) return;
  signInReason.value = "This key is not valid any more.";
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
