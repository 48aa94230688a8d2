/** Links that were shared, `/s/ID#TOKEN` and `/embed/ID#TOKEN`: the token moves from the address to this tab. */

import { ROOT } from "./api/client.ts";
import { signIn } from "./session.ts";

/** Take the token of a shared link, if the address is one, and show the overview in its place. */
export function openSharedLink(): void {
  const path = location.pathname.slice(ROOT.pathname.length);
  const token = location.hash.slice(1);
  if (!/^(s|embed)\/[^/]+$/.test(path) || token === "") return;
  signIn(token, "share", false);
  document.documentElement.dataset.embedded = String(path.startsWith("embed/"));
  history.replaceState(null, "", ROOT.href + location.search);
}
