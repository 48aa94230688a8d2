/** Walk a chart with the arrow keys: by bucket, select with Shift, zoom with Enter, leave with Escape. Pure. */

export interface Walk {
  /** The index of the point that is read out; null: none yet. */
  index: number | null;
  /** Where a selection began; null: none. */
  from: number | null;
}

export interface Step {
  walk: Walk;
  /** The indexes to zoom to, both included. */
  zoom: [number, number] | null;
}

/** Return the walk after a key, or null where the key is not the chart's. */
export function walked(walk: Walk, key: string, withShift: boolean, count: number): Step | null {
  if (count === 0) return null;
  const moves: Record<string, (index: number) => number> = {
    ArrowLeft: (index) => Math.max(index - 1, 0),
    ArrowRight: (index) => Math.min(index + 1, count - 1),
    Home: () => 0,
    End: () => count - 1,
  };
  const move = moves[key];
  if (move !== undefined) {
    const index = walk.index === null ? (key === "Home" ? 0 : count - 1) : move(walk.index);
    const from = withShift ? (walk.from ?? walk.index ?? index) : null;
    return { walk: { index, from }, zoom: null };
  }
  if (key === "Enter" && walk.index !== null) {
    const from = walk.from ?? walk.index;
    return {
      walk: { index: null, from: null },
      zoom: [Math.min(from, walk.index), Math.max(from, walk.index)],
    };
  }
  if (key === "Escape" && walk.index !== null) return { walk: { index: null, from: null }, zoom: null };
  return null;
}
