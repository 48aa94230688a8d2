/** The pages as signs, for the rail of a screen that is too narrow for names beside keys. */

import type { Page } from "../address.ts";

const PATHS: Record<Page, string> = {
  overview: "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z",
  routes: "M2 14V7a3 3 0 0 1 3-3h8M10 1l3 3-3 3",
  consumers: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2 14c1-4 11-4 12 0",
  errors: "M8 2l6 12H2zM8 7v3M8 11.5v1",
  latency: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 5v3l2 2",
  requests: "M2 4h12M2 8h12M2 12h8",
  alerts: "M3 12h10l-1.5-2V7a3.5 3.5 0 0 0-7 0v3zM7 14h2",
  quality: "M2 8l4 4 8-8",
  settings: "M2 4h12M2 12h12M5 2v4M11 10v4",
};

/** Draw the sign of a page. */
export function Icon({ page }: { page: Page }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[page]} />
    </svg>
  );
}
