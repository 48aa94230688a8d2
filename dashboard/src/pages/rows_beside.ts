/** Dear figures of a table's rows: a question of its own, so that the table does not wait for them. */

import type { Breakdown, BreakdownRow } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import type { Field, Filter } from "../filters.ts";
import { binding, sees } from "../shared.ts";
import { frame } from "../state.ts";

/** The longest range over which consumers are counted beside other dimensions: that reads the events themselves. */
const LONGEST_S = 86_400;

interface Asked {
  also?: readonly Filter[];
  /** How many rows, those with the most requests; the table shows no others. */
  limit?: number;
  /** Nothing is asked before. */
  isSeen?: boolean;
}

/** Return what finds a row by its key: the measures of the rows by the fields `by`. */
export function useRowsBeside(
  by: readonly Field[],
  measures: readonly string[],
  { also = [], limit = 1000, isSeen = true }: Asked = {},
): (key: readonly string[]) => BreakdownRow | undefined {
  const parameters = { by: by.join(","), measures: measures.join(","), sort: "requests", limit };
  const isAsked = isSeen && measures.length > 0;
  const { data } = useQuestion<Breakdown>(isAsked ? question("v1/breakdown", parameters, { also }) : null).value;
  const rows = new Map((data?.rows ?? []).map((row) => [JSON.stringify(row.key), row]));
  return (key) => rows.get(JSON.stringify(key));
}

/** Return whether the page counts consumers beside other dimensions. */
export function countsConsumers(longestS = LONGEST_S): boolean {
  const { startS, endS } = frame.value;
  return endS - startS <= longestS && sees("consumer_id") && !binding.value?.oneConsumer;
}

/** Return what finds the consumers of a row, or undefined where they are not counted. */
export function useConsumerCounts(
  by: readonly Field[],
  asked: Asked = {},
): ((key: readonly string[]) => number | null) | undefined {
  const isCounted = countsConsumers();
  const found = useRowsBeside(by, isCounted ? ["consumers"] : [], asked);
  return isCounted ? (key) => found(key)?.consumers ?? null : undefined;
}
