/** Whether the screen is that of a phone, as the styles draw the line. */

import { signal } from "@preact/signals";

const narrow = matchMedia("(max-width: 760px)");

export const isPhone = signal(narrow.matches);

narrow.addEventListener("change", () => {
  isPhone.value = narrow.matches;
});
