/** The rules of the application, and how many of them fire now, for the rail and for the page of alerts. */

import type { Signal } from "@preact/signals";
import type { Rule, RuleList } from "../api/answers.ts";
import { addApplication } from "../api/questions.ts";
import { type Resource, useQuestion } from "../api/resource.ts";
import { isShared } from "../shared.ts";
import { application } from "../state.ts";

/** Return the rules. */
export function useRules(): Signal<Resource<RuleList>> {
  const query = new URLSearchParams({ limit: "1000" });
  addApplication(query);
  return useQuestion<RuleList>(application.value === null || isShared.value ? null : `api/alerts?${query}`);
}

/** Return how many rules fire now. */
export function useFiringCount(): number {
  return useRules().value.data?.alerts.filter(isFiring).length ?? 0;
}

/** Return whether a rule fires and is not paused. */
export function isFiring(rule: Rule): boolean {
  return rule.state.status === "firing" && !rule.paused;
}
