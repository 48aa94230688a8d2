/** What waits until the tab is seen: a hidden one asks nothing. */

/** Run something now, or in a hidden tab once it is seen; return what gives it up. */
export function onceSeen(run: () => void): () => void {
  const giveUp = new AbortController();
  const runIfSeen = () => {
    if (document.visibilityState !== "visible") return;
    giveUp.abort();
    run();
  };
  document.addEventListener("visibilitychange", runIfSeen, { signal: giveUp.signal });
  runIfSeen();
  return () => giveUp.abort();
}
