/** What is recorded of requests, how much of it is masked, whether it is a sample, and how long it is kept. */

import { Fragment } from "preact";
import type { OrganizationOverview, Quality } from "../api/answers.ts";
import { useQuestion } from "../api/resource.ts";
import { formatExact, formatPercent } from "../format.ts";
import { application, me } from "../state.ts";
import { recordedRows } from "./recorded_words.ts";

/** Show what the newest events of the range have. */
export function Recorded({ recorded }: { recorded: Quality["recorded"] }) {
  const plan = useQuestion<OrganizationOverview>(me.value?.kind === "admin" ? "api/analytics/overview" : null);
  const figures = plan.value.data?.overview;
  const shown = application.value;
  const limits = shown?.limits;
  const perTime = [
    [limits?.requestsPerMinute, "minute"],
    [limits?.requestsPerHour, "hour"],
    [limits?.requestsPerDay, "day"],
  ] as const;
  const allowed = perTime.flatMap(([count, unit]) => (count ? [`${formatExact(count)} a ${unit}`] : []));
  const days = shown?.retentionDays ?? null;
  const rows: [string, string][] = [
    ...recordedRows(recorded),
    ["Kept", days === null ? "for ever" : `for ${formatExact(days)} days`],
    ["Limits of requests", allowed.join(", ") || "none"],
  ];
  if (figures !== undefined) rows.push(["Plan", planWords(figures)]);
  return (
    <dl class="pairs">
      {rows.map(([name, text]) => (
        <Fragment key={name}>
          <dt>{name}</dt>
          <dd>{text}</dd>
        </Fragment>
      ))}
    </dl>
  );
}

function planWords({ plan, usage }: OrganizationOverview["overview"]): string {
  const used = formatExact(usage.apiCallsThisMonth);
  const limit = usage.apiCallsLimit;
  if (limit === null) return `${plan.name}: ${used} requests this month, no limit`;
  return `${plan.name}: ${used} of ${formatExact(limit)} requests this month (${formatPercent(usage.apiCallsPercentage)})`;
}
