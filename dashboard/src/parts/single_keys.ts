/** Whether single keys work in this browser; Settings switches them off (WCAG 2.1.4). */

import { signal } from "@preact/signals";

const KEPT = "apimetry.single-keys";

export const singleKeys = signal(localStorage.getItem(KEPT) !== "off");

/** Switch single keys on or off, for this browser. */
export function switchSingleKeys(isOn: boolean): void {
  localStorage.setItem(KEPT, isOn ? "on" : "off");
  singleKeys.value = isOn;
}
