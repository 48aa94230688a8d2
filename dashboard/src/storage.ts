/** What this tab and this browser keep. In a frame that may keep nothing it is held in memory. */

interface Kept {
  getItem(name: string): string | null;
  setItem(name: string, text: string): void;
  removeItem(name: string): void;
}

/** What lasts as long as the tab. */
export const tabStorage: Kept = usable(() => sessionStorage);
/** What lasts as long as the browser. */
export const browserStorage: Kept = usable(() => localStorage);

function usable(open: () => Storage): Kept {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return inMemory();
  }
}

function inMemory(): Kept {
  const kept = new Map<string, string>();
  return {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, text) => {
      kept.set(name, text);
    },
    removeItem: (name) => {
      kept.delete(name);
    },
  };
}
