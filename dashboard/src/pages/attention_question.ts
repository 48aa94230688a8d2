/** The question behind the list of routes that need attention. */

import type { Signal } from "@preact/signals";
import type { Breakdown } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { type Resource, useQuestion } from "../api/resource.ts";

const MEASURES = "requests,errors,errorRate,p95Ms,timeShare";

/** Return the routes of the range with what they were before. */
export function useAttention(): Signal<Resource<Breakdown>> {
  const parameters = { by: "route", measures: MEASURES, sort: "requests", limit: 100, series: 24 };
  return useQuestion<Breakdown>(question("v1/breakdown", parameters, { compares: true }));
}
