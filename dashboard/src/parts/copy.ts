/** Copy a text, and say whether the browser let the page do it. */

import { pinnedLink, say } from "../state.ts";

/** Copy a text; `what` names it. */
export function copyText(text: string, what: string): void {
  navigator.clipboard.writeText(text).then(
    () => say(`${what} copied`),
    () => say("The browser does not let this page copy"),
  );
}

/** Copy the address of this view, with its start and end. */
export function copyLink(): void {
  copyText(pinnedLink(), "Link");
}
