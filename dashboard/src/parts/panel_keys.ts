/** The key `d` shows the focused panel as a table: panels register how they do that. */

const toggles = new Map<HTMLElement, () => void>();

/** Register how a panel switches between chart and table; the result forgets it. */
export function showTables(panel: HTMLElement | null, toggle: () => void): () => void {
  if (panel === null) return () => undefined;
  toggles.set(panel, toggle);
  return () => {
    toggles.delete(panel);
  };
}

/** Switch the panel that holds the focus; false where none does. */
export function toggleFocusedPanel(): boolean {
  const panel = document.activeElement?.closest<HTMLElement>(".panel");
  const toggle = panel === null || panel === undefined ? undefined : toggles.get(panel);
  toggle?.();
  return toggle !== undefined;
}
