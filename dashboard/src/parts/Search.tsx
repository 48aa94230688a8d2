/** The search of a page's table: `/` goes to it, and the address keeps its text. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { showWith, view } from "../state.ts";
import { useSettled } from "./FilterDialog.tsx";

/** Show the search field. */
export function Search({ label }: { label: string }) {
  const text = useSignal(view.value.search ?? "");
  const settled = useSettled(text.value, 200);
  useEffect(() => {
    if ((view.value.search ?? "") !== settled) showWith({ search: settled === "" ? null : settled });
  }, [settled]);
  return (
    <input
      type="search"
      aria-label={label}
      placeholder="search"
      value={text.value}
      maxLength={200}
      onInput={(event) => {
        text.value = event.currentTarget.value;
      }}
    />
  );
}
