/** Whether the numbers are whole: what senders captured against what is stored. */

import { useEffect } from "preact/hooks";
import { onPage } from "../address.ts";
import type { Quality } from "../api/answers.ts";
import { missingIn } from "../api/client.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { collecting } from "../collecting.ts";
import { formatExact } from "../format.ts";
import { recorded, samplingWords } from "../sampling.ts";
import { frame, view } from "../state.ts";
import { Link } from "./Link.tsx";

/** Return the words and the tone of a completeness. */
export function badgeOf(total: Quality["total"]): { text: string; tone: "good" | "warn" | "bad" | "none" } {
  if (total.share === null || total.captured === 0) return { text: "no sender reports", tone: "none" };
  const lost = Object.values(total.lost).reduce((sum, count) => sum + count, 0);
  if (lost === 0 && total.pending > 0) return { text: `${formatExact(total.pending)} on their way`, tone: "none" };
  if (total.share >= 1) return { text: "✓ complete", tone: "good" };
  const percent = Math.floor(total.share * 10_000) / 100;
  return { text: `${percent} % stored`, tone: percent < 99 ? "bad" : "warn" };
}

/** Show the badge, as a link to the data quality. */
export function Badge() {
  const minuteS = 60;
  const { startS, endS } = frame.value;
  const span = { startS: Math.floor(startS / minuteS) * minuteS, endS: Math.ceil(endS / minuteS) * minuteS };
  // The badge shows the total alone: without a granularity there is one bucket.
  const quality = useQuestion<Quality>(question("v1/quality", {}, { span, isUnfiltered: true }));
  const { data, error } = quality.value;
  useEffect(() => {
    recorded.value = data?.recorded ?? null;
    collecting.value = data?.collectors ?? null;
  }, [data]);
  if (data === null) return null;
  // What senders captured is counted on all shards.
  const isPartial = missingIn(data).length > 0;
  const { text, tone } =
    error !== null
      ? ({ text: "not known now", tone: "none" } as const)
      : isPartial
        ? ({ text: "not whole", tone: "bad" } as const)
        : badgeOf(data.total);
  return (
    <Link to={onPage(view.value, "quality")} class={`badge ${tone}`}>
      {text}
    </Link>
  );
}

/** Say that counts are made of samples, where they are. */
export function Sampled() {
  const words = samplingWords();
  if (words === "") return null;
  return (
    <span class="badge none" title={words}>
      ≈ sampled<span class="hidden">: {words}</span>
    </span>
  );
}
