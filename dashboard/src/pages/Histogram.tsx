/** The distribution of times or sizes: bars of buckets, the period before as an outline, both as shares. */

import type { Latency } from "../api/answers.ts";
import { formatOf } from "../filters.ts";
import type { PanelTable } from "../parts/Panel.tsx";
import { exactRequests } from "../sampling.ts";

const WIDTH = 600;
const HEIGHT = 160;

/** Return a distribution as a table: the bounds of each bucket, and its requests now and in the period before. */
export function distributionTable(latency: Latency): PanelTable {
  const now = summed(latency.counts);
  const before = summed(latency.previous?.counts ?? []);
  const buckets = [...new Set([...now.keys(), ...before.keys()])].sort((a, b) => a - b);
  return {
    header: ["From", "To", "Requests", "Requests before"],
    rows: buckets.map((bucket) => [
      latency.bounds[bucket] ?? null,
      latency.bounds[bucket + 1] ?? null,
      now.get(bucket) ?? 0,
      before.get(bucket) ?? 0,
    ]),
  };
}

/** Draw a distribution. */
export function Histogram({ latency, outlined = "the other period" }: { latency: Latency; outlined?: string }) {
  const now = summed(latency.counts);
  const before = summed(latency.previous?.counts ?? []);
  const buckets = [...now.keys(), ...before.keys()];
  const first = Math.min(...buckets);
  const last = Math.max(...buckets);
  const width = WIDTH / (last - first + 1);
  const share = (count: number, total: number) => (total === 0 ? 0 : count / total);
  const totals = { now: latency.total, before: latency.previous?.total ?? 0 };
  const highest = Math.max(
    ...[...now.values()].map((count) => share(count, totals.now)),
    ...[...before.values()].map((count) => share(count, totals.before)),
    Number.MIN_VALUE,
  );
  const y = (part: number) => HEIGHT - (part / highest) * HEIGHT;
  const format = formatOf(latency.value);
  const outline = Array.from({ length: last - first + 1 }, (_, index) => {
    const top = y(share(before.get(first + index) ?? 0, totals.before));
    return `L${index * width},${top} L${(index + 1) * width},${top}`;
  });
  return (
    <figure>
      <svg
        class="histogram"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Distribution of ${exactRequests(latency.total)} requests; half take up to ${format(latency.percentiles["50"])}, 95 % up to ${format(latency.percentiles["95"])}`}
      >
        {[...now].map(([bucket, count]) => {
          const top = y(share(count, totals.now));
          return (
            <rect
              key={bucket}
              x={(bucket - first) * width}
              y={top}
              width={Math.max(width - 1, 1)}
              height={HEIGHT - top}
            >
              <title>
                {`${format(latency.bounds[bucket])} to ${format(latency.bounds[bucket + 1])}: ${exactRequests(count)} requests`}
              </title>
            </rect>
          );
        })}
        {before.size > 0 && <path d={`M0,${HEIGHT} ${outline.join(" ")} L${WIDTH},${HEIGHT}`} />}
      </svg>
      <figcaption class="ends soft">
        <span>{format(latency.bounds[first])}</span>
        {before.size > 0 && <span>outlined: {outlined}</span>}
        <span>{format(latency.bounds[last + 1] ?? latency.max)}</span>
      </figcaption>
    </figure>
  );
}

/** Return the requests by bucket, over all times. */
export function summed(counts: Latency["counts"]): Map<number, number> {
  const sums = new Map<number, number>();
  for (const cells of counts) {
    for (const [bucket, requests] of cells) sums.set(bucket, (sums.get(bucket) ?? 0) + requests);
  }
  return sums;
}
