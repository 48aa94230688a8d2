/** How many rules fire now, for the rail. */

import { signal } from "@preact/signals";

export const firingCount = signal(0);
