/** Whether an element was in view: panels below the fold ask once they are scrolled to. */

import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** Return a reference for an element, and whether it has been seen. */
export function useInView(): { element: RefObject<HTMLDivElement | null>; isSeen: boolean } {
  const element = useRef<HTMLDivElement>(null);
  const isSeen = useSignal(false);
  useEffect(() => {
    if (element.current === null) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (!entry?.isIntersecting) return;
        isSeen.value = true;
        observer.disconnect();
      },
      { rootMargin: "100px" },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return { element, isSeen: isSeen.value };
}
