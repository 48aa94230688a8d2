/** Consumers: who is new, big, failing, silent; and one consumer. */

import { onPage } from "../address.ts";
import type { Breakdown, Timeseries } from "../api/answers.ts";
import { granularity, question, timeseries } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { isUnfinished } from "../buckets.ts";
import { seriesToken } from "../charts/colours.ts";
import { type Filter, withFilter } from "../filters.ts";
import { formatCount, formatExact } from "../format.ts";
import { Chart } from "../parts/Chart.tsx";
import { openDialog } from "../parts/dialogs.ts";
import { Link, valueText } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { Search } from "../parts/Search.tsx";
import { Table } from "../parts/Table.tsx";
import { stepSeconds } from "../ranges.ts";
import { isShared } from "../shared.ts";
import { application, frame, showWith, view } from "../state.ts";
import {
  BYTES,
  breakdownTable,
  CHANGE,
  errorRate,
  FIRST_SEEN,
  LAST_SEEN,
  milliseconds,
  order,
  requests,
  TREND,
} from "./figures.tsx";
import { isEmpty, LatencyPanel, linesOf, RequestsPanel, Tiles, tableOf } from "./Overview.tsx";
import { RequestList } from "./RequestList.tsx";
import { Dimension, exclude } from "./Routes.tsx";

const TABS = ["all", "new", "silent", "failing"] as const;
const MEASURES = "requests,errors,errorRate,p95Ms,bytes,firstSeen,lastSeen";

/** Show all consumers, or the one that the address names. */
export function Consumers() {
  const { consumer } = view.value.own;
  return consumer === undefined ? <AllConsumers /> : <Consumer consumer={consumer} />;
}

function AllConsumers() {
  const recorded = application.value?.recorded.consumers ?? true;
  if (!recorded) {
    return (
      <section class="panel state">
        <p>No request names its consumer. One option of the middleware does:</p>
        <pre>
          <code>{'consumer="X-Client-Id"   # the header that identifies who calls'}</code>
        </pre>
      </section>
    );
  }
  return (
    <>
      <TopConsumers />
      <ConsumerTable />
    </>
  );
}

function TopConsumers() {
  const { countStep, endS } = frame.value;
  const resource = useQuestion<Timeseries>(
    timeseries({ ...granularity(countStep), group: "consumer_id", limit: 6, rest: 1, fill: "zero" }),
  );
  return (
    <Panel
      title="Requests by consumer"
      resource={resource}
      isEmpty={isEmpty}
      table={(data) => tableOf(withRest(data), Object.keys(withRest(data).groups))}
    >
      {(data) => {
        const whole = withRest(data);
        const { times, lines } = linesOf(
          whole,
          Object.keys(whole.groups),
          (name, index) => (name === OTHERS ? "--other" : seriesToken(index)),
          (name) => valueText("consumer_id", name),
        );
        return (
          <Chart
            kind="bars"
            description={`Requests of the ${lines.length} largest consumers`}
            times={times}
            lines={lines}
            stepS={stepSeconds(countStep)}
            isUnfinished={isUnfinished(times, stepSeconds(countStep), endS, Date.now() / 1000)}
            format={formatCount}
          />
        );
      }}
    </Panel>
  );
}

const OTHERS = "all others";
const withRests = new WeakMap<Timeseries, Timeseries>();

/** Return the answer with the omitted groups as one more group. */
export function withRest(data: Timeseries): Timeseries {
  if (data.rest === undefined || (data.omitted_groups ?? 0) === 0) return data;
  const known = withRests.get(data);
  if (known !== undefined) return known;
  const whole = { ...data, groups: { ...data.groups, [OTHERS]: data.rest } };
  withRests.set(data, whole);
  return whole;
}

function ConsumerTable() {
  const { sort, search, own } = view.value;
  const tab = TABS.find((known) => known === own.tab) ?? "all";
  const resource = useQuestion<Breakdown>(
    question(
      "v1/breakdown",
      {
        by: "consumer_id",
        measures: MEASURES,
        ...order(sort ?? "-requests"),
        limit: 100,
        series: 24,
        ...(tab === "all" ? {} : { having: tab }),
        ...(search === null ? {} : { search }),
      },
      { compares: true },
    ),
  );
  return (
    <Panel
      title="Consumers"
      resource={resource}
      height={400}
      isEmpty={(data) => data.rows.length === 0 && tab === "all" && search === null}
      table={breakdownTable}
      controls={
        <>
          <Search label="Search in consumers" />
          <div class="segments" role="tablist" aria-label="Which consumers">
            {TABS.map((name) => (
              <button
                key={name}
                type="button"
                role="tab"
                aria-selected={tab === name}
                onClick={() => showWith({ own: name === "all" ? {} : { tab: name } })}
              >
                {name}
              </button>
            ))}
          </div>
        </>
      }
    >
      {(data) => (
        <>
          {data.rows.length === 0 && <p class="state">No consumer is {tab} in this range.</p>}
          <Table
            caption="Consumers"
            rows={data.rows}
            keyOf={(row) => row.key[0] ?? ""}
            defaultSort="-requests"
            open={(row) => onPage(view.value, "consumers", { consumer: row.key[0] ?? "" })}
            exclude={(row) => exclude("consumer_id", row)}
            columns={[
              {
                title: "Consumer",
                cell: (row) => (
                  <Link to={onPage(view.value, "consumers", { consumer: row.key[0] ?? "" })}>
                    {valueText("consumer_id", row.key[0] ?? "")}
                  </Link>
                ),
              },
              requests(["consumer_id"]),
              CHANGE,
              errorRate(["consumer_id"]),
              milliseconds("p95", "p95Ms"),
              BYTES,
              FIRST_SEEN,
              LAST_SEEN,
              TREND,
            ]}
          />
          <p class="soft foot">{formatExact(data.pagination.total)} consumers</p>
        </>
      )}
    </Panel>
  );
}

function Consumer({ consumer }: { consumer: string }) {
  const also: Filter[] = [{ field: "consumer_id", value: consumer, kind: "is" }];
  return (
    <>
      <p class="actions">
        {!isShared.value && (
          <>
            <button
              type="button"
              onClick={() => {
                showWith({ filters: also.reduce(withFilter, view.value.filters) });
                openDialog.value = "share";
              }}
            >
              Share with this consumer
            </button>
            <Link to={onPage(view.value, "settings", { tab: "delete" })}>Delete this consumer's data</Link>
          </>
        )}
      </p>
      <Tiles also={also} />
      <div class="grid two">
        <RequestsPanel also={also} />
        <LatencyPanel also={also} />
        <Dimension title="Routes" field="route" also={also} />
        <Dimension title="Errors" field="error_type" also={also} />
        <Dimension title="Statuses" field="status_code" also={also} />
        <Dimension title="Versions" field="version" also={also} />
      </div>
      <RequestList title="Last requests" limit={20} also={also} />
    </>
  );
}
