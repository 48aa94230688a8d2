/** Whether collectors report, as the newest answer says; null before it, and for a link, which learns less. */

import { signal } from "@preact/signals";
import type { Quality } from "./api/answers.ts";

export const collecting = signal<Quality["collectors"] | null>(null);
