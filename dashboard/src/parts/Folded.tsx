/** What a phone shows below its title once it is opened, and other screens at once. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { isPhone } from "./phone.ts";

/** Show the children; on a phone, fold them until a person opens them: nothing in them is asked before. */
export function Folded({ title, children }: { title: string; children: ComponentChildren }) {
  const isOpen = useSignal(false);
  if (!isPhone.value) return <>{children}</>;
  return (
    <>
      <button
        type="button"
        class="fold"
        aria-expanded={isOpen.value}
        onClick={() => {
          isOpen.value = !isOpen.value;
        }}
      >
        <span aria-hidden="true">{isOpen.value ? "▾" : "▸"}</span> {title}
      </button>
      {isOpen.value && children}
    </>
  );
}
