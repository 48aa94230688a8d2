/** The organization: its name, its plan, and how far the plan is used. */

import { Fragment } from "preact";
import type { OneOrganization, OrganizationOverview } from "../api/answers.ts";
import { formatExact, formatPercent, MISSING } from "../format.ts";
import { Asking, Field, Problem, Section } from "../parts/Form.tsx";
import { seenText } from "./figures.tsx";
import { useManaged } from "./managed.ts";

/** Show the organization. */
export function Organization() {
  const managed = useManaged<OneOrganization>("api/organization");
  const overview = useManaged<OrganizationOverview>("api/analytics/overview");
  const organization = managed.data.value?.organization ?? null;
  const figures = overview.data.value?.overview ?? null;
  return (
    <Section title="Organization">
      <Asking of={managed} />
      <Problem text={overview.problem.value} />
      {organization !== null && (
        <dl class="pairs">
          <dt>Name</dt>
          <dd>
            <Field
              label="Name"
              value={organization.name}
              save={(name) => managed.act("PATCH", "api/organization", { name })}
            />
          </dd>
          <dt>Plan</dt>
          <dd>{organization.plan.name}</dd>
          {figures !== null &&
            rowsOf(figures).map(([name, text]) => (
              <Fragment key={name}>
                <dt>{name}</dt>
                <dd>{text}</dd>
              </Fragment>
            ))}
        </dl>
      )}
    </Section>
  );
}

function rowsOf({ totals, usage, plan, recentActivity }: OrganizationOverview["overview"]): [string, string][] {
  const share = usage.apiCallsLimit === null ? "" : `, ${formatPercent(usage.apiCallsPercentage)}`;
  return [
    ["Requests this month", `${formatExact(usage.apiCallsThisMonth)}${ofLimit(usage.apiCallsLimit)}${share}`],
    ["Requests stored", formatExact(totals.dataPoints)],
    ["Requests in 24 hours", formatExact(recentActivity.dataPointsLast24h)],
    ["Newest request", seenText(recentActivity.lastDataIngestion)],
    ["Storage", usage.storageUsedFormatted],
    ["Applications", `${formatExact(totals.buckets)}${ofLimit(plan.maxBuckets)}`],
    ["Kept for at most", plan.maxRetentionDays === null ? "no limit" : `${formatExact(plan.maxRetentionDays)} days`],
    ["Sources", formatExact(totals.dataSources)],
    ["Keys", formatExact(totals.apiKeys)],
    ["Alert rules", formatExact(totals.alertRules)],
    ["Alerts in 24 hours", formatExact(recentActivity.alertsTriggeredLast24h)],
    [
      "Last alert",
      recentActivity.lastAlertTriggered === null ? MISSING : seenText(recentActivity.lastAlertTriggered),
    ],
  ];
}

function ofLimit(limit: number | null): string {
  return limit === null ? ", no limit" : ` of ${formatExact(limit)}`;
}
