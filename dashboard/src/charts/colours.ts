/** Colours of the page's tokens, for the canvas: it cannot read `light-dark()`. */

import { signal } from "@preact/signals";

/** Grows when the colour scheme changes: then charts are drawn again. */
export const schemeVersion = signal(0);

const probe = document.createElement("span");
probe.hidden = true;
// Forced colours would make all of them one.
probe.style.forcedColorAdjust = "none";
document.body.append(probe);
const resolved = new Map<string, string>();

/** Return the colour of a token such as `--p95`, as the canvas takes it. */
export function colourOf(token: string): string {
  let colour = resolved.get(token);
  if (colour === undefined) {
    probe.style.color = `var(${token})`;
    colour = getComputedStyle(probe).color;
    resolved.set(token, colour);
  }
  return colour;
}

/** Return the nine colours of a heatmap, from few to many. */
export function heatColours(): string[] {
  return Array.from({ length: 9 }, (_, step) => colourOf(`--heat-${step + 1}`));
}

/** Return the token of a step of the palette of series; `other` comes after six. */
export function seriesToken(index: number): string {
  return index < 6 ? `--s${index + 1}` : "--other";
}

export const STATUS_TOKENS: Record<string, string> = {
  "2xx": "--status-2xx",
  "3xx": "--status-3xx",
  "4xx": "--status-4xx",
  "5xx": "--status-5xx",
};

/** Read the tokens again: another scheme is shown. */
export function schemeChanged(): void {
  resolved.clear();
  schemeVersion.value += 1;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schemeChanged);
