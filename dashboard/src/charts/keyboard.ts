/** Walk a chart with the arrow keys: by bucket, select with Shift, zoom with Enter, leave with Escape. A heatmap is
 * walked by cell. Pure. */

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

/** Return the index of a walk's time in other times, as a refresh brings them; null where they do not have it. */
export function indexAfter(index: number | null, before: readonly number[], times: readonly number[]): number | null {
  const place = index === null ? -1 : times.indexOf(before[index] ?? Number.NaN);
  return place < 0 ? null : place;
}

/** A cell of a heatmap: the indexes of its time, and of its bucket of values. */
export interface Cell {
  time: number;
  bucket: number;
}

/** Return the cell after a key, or null where the key does not move.
 *
 * @param cell where the walk is; null: it begins at the last time, in the lowest bucket
 * @param buckets the buckets that can be shown, the lowest first
 */
export function walkedCell(cell: Cell | null, key: string, times: number, buckets: readonly number[]): Cell | null {
  const moves: Record<string, readonly [number, number]> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, 1],
    ArrowDown: [0, -1],
    Home: [-times, 0],
    End: [times, 0],
  };
  const move = moves[key];
  const lowest = buckets[0];
  if (move === undefined || lowest === undefined || times === 0) return null;
  if (cell === null) return { time: key === "Home" ? 0 : times - 1, bucket: lowest };
  const row = Math.min(Math.max(buckets.indexOf(cell.bucket) + move[1], 0), buckets.length - 1);
  return { time: Math.min(Math.max(cell.time + move[0], 0), times - 1), bucket: buckets[row] ?? lowest };
}
