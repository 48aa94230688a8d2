/** Whether a person is in a part of the page, with the pointer or the focus: what is read there must not move. */

import { useSignal } from "@preact/signals";

export interface Presence {
  isPointed: boolean;
  isFocused: boolean;
  /** Say that nobody is there, until the pointer or the focus comes anew. */
  forget: () => void;
  /** The listeners of the part's element. */
  listeners: {
    onPointerEnter: () => void;
    onPointerLeave: () => void;
    onFocusCapture: () => void;
    onBlurCapture: (event: FocusEvent & { currentTarget: EventTarget & Node }) => void;
  };
}

/** Return whether a person is in a part of the page, and the listeners that tell it. */
export function usePresence(): Presence {
  const isPointed = useSignal(false);
  const isFocused = useSignal(false);
  return {
    isPointed: isPointed.value,
    isFocused: isFocused.value,
    forget: () => {
      isPointed.value = false;
      isFocused.value = false;
    },
    listeners: {
      onPointerEnter: () => {
        isPointed.value = true;
      },
      onPointerLeave: () => {
        isPointed.value = false;
      },
      onFocusCapture: () => {
        isFocused.value = true;
      },
      onBlurCapture: ({ relatedTarget, currentTarget }) => {
        isFocused.value = relatedTarget instanceof Node && currentTarget.contains(relatedTarget);
      },
    },
  };
}
