/** What a link shows: the page asks for nothing that the service would refuse. */

import { computed } from "@preact/signals";
import type { Page } from "./address.ts";
import { me } from "./state.ts";

/** What the link binds; null: a session. */
export const binding = computed(() => me.value?.fixed ?? null);
export const isShared = computed(() => binding.value !== null);

/** What the service answers to no link. */
const NO_LINK_ASKS = ["api/", "v1/quality", "v1/alert-events"];

/** Return whether the page may be shown. */
export function seesPage(page: Page): boolean {
  return binding.value?.pages.includes(page) ?? true;
}

/** Return whether a field of events is shown. */
export function sees(field: string): boolean {
  return !(binding.value?.hides.includes(field) ?? false);
}

/** Return whether the service answers a question: its path, the fields that it names, and the start of its range. */
export function mayAsk(path: string, fields: readonly string[]): boolean {
  const bound = binding.value;
  if (bound === null) return true;
  if (NO_LINK_ASKS.some((start) => path.startsWith(start))) return false;
  if (/^v1\/(events|export)/.test(path) && !seesPage("requests")) return false;
  if (path === "v1/versions" && (bound.notBefore !== null || !sees("version") || !sees("source"))) return false;
  return fields.every(sees);
}
