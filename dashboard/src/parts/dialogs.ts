/** Which dialog of the frame is open. */

import { signal } from "@preact/signals";

export const openDialog = signal<"filter" | "range" | "palette" | "keys" | "share" | null>(null);

/** Close the open dialog. */
export function closeDialog(): void {
  openDialog.value = null;
}
