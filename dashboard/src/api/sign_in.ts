/** Sign in and out; a key in the address is removed unread. */

import { signal } from "@preact/signals";
import { credential, forget, forgetLink, lookByLink, signIn } from "../session.ts";
import { isEmbedded, pathHere } from "../state.ts";
import type { Me, NewSession } from "./answers.ts";
import { ApiError, change, forgetAnswers, headersFor, ROOT } from "./client.ts";

/** Why the login shows, as a sentence; empty at the first visit. */
export const signInReason = signal("");

/** How long a session lasts: of an admin key, of a read key in this tab, and of one in this browser. */
const SESSION_HOURS = 12;
const LONG_SESSION_HOURS = 720;

/** Sign in with a read or admin key, or with the code that the service printed.
 *
 * A session's token is kept for this tab, or that of a read key for this browser where it `stays`. The key is forgotten.
 *
 * @throws ApiError the key or the code is not valid, or not one that may look
 */
export async function signInWith(text: string, stays: boolean): Promise<void> {
  const session = text.startsWith("apimetry_") ? await sessionOf(text, stays) : await sessionByCode(text);
  forgetAnswers();
  signInReason.value = "";
  signIn(session.token, session.kind === "admin" ? "admin" : "read", stays);
}

/** Forget the session and all answers, and end it at the service. */
export function signOut(): void {
  const headers = headersFor();
  const isSession = credential.value?.secret.startsWith("apimetry_t_") ?? false;
  forget();
  forgetAnswers();
  if (!isSession) return;
  fetch(new URL("v1/session", ROOT), { method: "DELETE", headers, keepalive: true }).catch(() => {
    // The service is away. This browser has forgotten the token, which ends by itself.
  });
}

/** Show the login again, as the credential is not valid any more. */
export function sessionEnded(): void {
  if (credential.value === null) return;
  const { isLink } = credential.value;
  signInReason.value = isLink ? "This link has ended." : "This session has ended. Sign in again.";
  if (isLink) forgetLink();
  else forget();
  forgetAnswers();
}

/** Keep the token of the link that the page was opened by, and remove it from the address. */
export function takeLink(): void {
  const isLink = /^(s|embed)\/\w+$/.test(pathHere());
  if (!isLink) return;
  const token = location.hash.slice(1);
  if (isEmbedded) {
    // The frame keeps its address: after a reload it needs the token again. The session of whoever is signed in to
    // this browser is never shown in a page of another site.
    credential.value = token === "" ? null : { secret: token, kind: "read", isLink: true };
    return;
  }
  // The icon's address is relative to that of the page, which changes now.
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
  if (icon !== null) icon.href = new URL(icon.href).href;
  history.replaceState(null, "", ROOT);
  if (token !== "") lookByLink(token);
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

async function sessionOf(key: string, stays: boolean): Promise<NewSession> {
  try {
    const { kind } = await change<Me>("GET", "v1/me", undefined, key);
    const hours = stays && kind === "read" ? LONG_SESSION_HOURS : SESSION_HOURS;
    return await change<NewSession>("POST", "v1/session", { hours }, key);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) throw new ApiError(401, "This key is not valid.");
    if (error.status === 403 && key.startsWith("apimetry_w_")) {
      throw new ApiError(403, "A write key sends events. Sign in with a read or admin key.");
    }
    throw error;
  }
}

async function sessionByCode(code: string): Promise<NewSession> {
  return change<NewSession>("POST", "v1/sign-in", { code });
}
