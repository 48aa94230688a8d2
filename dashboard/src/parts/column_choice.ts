/** Which columns of a table an address chooses. Pure. */

/** Return the chosen names in the order of the table; unknown names are left out, and nothing chosen is the usual. */
export function chosenOf(text: string | undefined, names: readonly string[], usual: readonly string[]): string[] {
  const chosen = text?.split(",") ?? [];
  const known = names.filter((name) => chosen.includes(name));
  return known.length === 0 ? [...usual] : known;
}

/** Return the text that `chosenOf` reads; undefined: the usual ones. */
export function choiceText(chosen: readonly string[], usual: readonly string[]): string | undefined {
  return chosen.length === 0 || chosen.join() === usual.join() ? undefined : chosen.join();
}
