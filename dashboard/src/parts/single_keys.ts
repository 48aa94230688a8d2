/** Whether single keys work in this browser; Settings switches them off (WCAG 2.1.4). */

import { signal } from "@preact/signals";
import { browserStorage } from "../storage.ts";

const KEPT = "apimetry.single-keys";

export const singleKeys = signal(browserStorage.getItem(KEPT) !== "off");

/** Switch single keys on or off, for this browser. */
export function switchSingleKeys(isOn: boolean): void {
  browserStorage.setItem(KEPT, isOn ? "on" : "off");
  singleKeys.value = isOn;
}
