/** How many consumers are behind each row of a table: a question of its own, since it reads the events themselves. */

import type { Breakdown, BreakdownRow } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import type { Field, Filter } from "../filters.ts";
import { binding, sees } from "../shared.ts";
import { frame } from "../state.ts";

/** The longest range over which the service counts consumers beside other dimensions. */
const LONGEST_S = 7 * 86_400;

interface Asked {
  also?: readonly Filter[];
  /** How many rows, those with the most requests; the table shows no others. */
  limit?: number;
  /** The longest range that is asked about. */
  longestS?: number;
  /** Nothing is asked before. */
  isSeen?: boolean;
}

/** Return what finds the consumers of a row by the fields `by`, or undefined where they are not counted. */
export function useConsumerCounts(
  by: readonly Field[],
  { also = [], limit = 1000, longestS = LONGEST_S, isSeen = true }: Asked = {},
): ((key: readonly string[]) => number | null) | undefined {
  const { startS, endS } = frame.value;
  const isCounted = endS - startS <= longestS && sees("consumer_id") && !binding.value?.oneConsumer;
  const parameters = { by: by.join(","), measures: "consumers", sort: "requests", limit };
  const address = isCounted && isSeen ? question("v1/breakdown", parameters, { also }) : null;
  const resource = useQuestion<Breakdown>(address).value;
  if (!isCounted) return undefined;
  const counts = new Map(
    (resource.data?.rows ?? []).map((row: BreakdownRow) => [JSON.stringify(row.key), row.consumers ?? null]),
  );
  return (key) => counts.get(JSON.stringify(key)) ?? null;
}
