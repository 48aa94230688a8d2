/** Who looks: the session of this tab, where it is kept, and how it is forgotten. */

import { signal } from "@preact/signals";
import { browserStorage, tabStorage } from "./storage.ts";

/** What a question is sent with, the token of a session; `kind` says what the page may show. */
export interface Credential {
  secret: string;
  kind: "read" | "admin";
  /** Whether it is the token of a link: nobody signed in. */
  isLink: boolean;
}

const STORED = "apimetry.session";
const KNOWN = "apimetry.known";

/** The credential of every question; null: the login shows. */
export const credential = signal<Credential | null>(stored());

/** The admin key that Settings asked for; in memory only, for 15 minutes. */
export const adminKey = signal<string | null>(null);

const ADMIN_KEY_MS = 15 * 60 * 1000;
let forgetting: ReturnType<typeof setTimeout> | undefined;

/** Keep a credential in this tab, or in this browser where `stays` (read keys only). */
export function signIn(secret: string, kind: Credential["kind"], stays: boolean): void {
  const text = JSON.stringify({ secret, kind });
  (stays && kind === "read" ? browserStorage : tabStorage).setItem(STORED, text);
  credential.value = { secret, kind, isLink: false };
}

/** Keep a link's token in this tab, whoever is signed in to the browser. */
export function lookByLink(token: string): void {
  const kept: Credential = { secret: token, kind: "read", isLink: true };
  tabStorage.setItem(STORED, JSON.stringify(kept));
  credential.value = kept;
}

/** Keep what the service said of the credential for the next load in this tab. Nothing is kept in a frame. */
export function keepKnown(known: unknown): void {
  const secret = credential.value?.secret;
  // Another build of the page may expect another shape.
  const kept = { secret, build: import.meta.url, known };
  if (secret !== undefined && stored()?.secret === secret) tabStorage.setItem(KNOWN, JSON.stringify(kept));
}

/** Return what the service said of the credential at the last load in this tab, or null. */
export function keptKnown(): unknown {
  const kept = parsed(tabStorage.getItem(KNOWN));
  if (kept === null || !("secret" in kept) || !("build" in kept) || !("known" in kept)) return null;
  return kept.secret === credential.value?.secret && kept.build === import.meta.url ? kept.known : null;
}

/** Forget every credential in this tab and this browser. */
export function forget(): void {
  tabStorage.removeItem(STORED);
  tabStorage.removeItem(KNOWN);
  browserStorage.removeItem(STORED);
  lockSettings();
  credential.value = null;
}

/** Forget the link of this tab or frame; whoever signed in to the browser stays signed in. */
export function forgetLink(): void {
  if (tabStorage.getItem(STORED)?.includes('"isLink":true')) {
    tabStorage.removeItem(STORED);
    tabStorage.removeItem(KNOWN);
  }
  credential.value = null;
}

/** Hold an admin key in memory for Settings. */
export function unlockSettings(key: string): void {
  clearTimeout(forgetting);
  adminKey.value = key;
  forgetting = setTimeout(lockSettings, ADMIN_KEY_MS);
}

/** Forget the admin key. */
export function lockSettings(): void {
  clearTimeout(forgetting);
  adminKey.value = null;
}

function stored(): Credential | null {
  const kept = parsed(tabStorage.getItem(STORED) ?? browserStorage.getItem(STORED));
  if (kept === null || !("secret" in kept) || !("kind" in kept)) return null;
  const { secret, kind } = kept;
  if (typeof secret !== "string" || (kind !== "read" && kind !== "admin")) return null;
  return { secret, kind, isLink: "isLink" in kept && kept.isLink === true };
}

function parsed(text: string | null): object | null {
  if (text === null) return null;
  try {
    const kept: unknown = JSON.parse(text);
    return typeof kept === "object" ? kept : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
