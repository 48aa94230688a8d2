/** Consumers: who is new, big, failing, silent; and one consumer. */

import { useEffect } from "preact/hooks";
import { onPage } from "../address.ts";
import type { Breakdown, BreakdownRow } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { askWho } from "../api/who.ts";
import { type Filter, withFilter } from "../filters.ts";
import { formatCount, formatCounted } from "../format.ts";
import { openDialog } from "../parts/dialogs.ts";
import { Link } from "../parts/Link.tsx";
import { firstRow, PAGE_ROWS, Pages } from "../parts/Pages.tsx";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { Search } from "../parts/Search.tsx";
import { Table } from "../parts/Table.tsx";
import { binding, isShared } from "../shared.ts";
import { application, refreshes, showWith, view } from "../state.ts";
import { AgainstOthers } from "./AgainstOthers.tsx";
import { ActiveConsumers, TopConsumers } from "./ConsumerCharts.tsx";
import {
  BYTES,
  breakdownTable,
  CHANGE,
  CONSUMER,
  errorRate,
  FAILED,
  FIRST_SEEN,
  LAST_SEEN,
  milliseconds,
  NAMED,
  order,
  percentilesNote,
  requests,
  restricted,
  TREND,
} from "./figures.tsx";
import { RequestList } from "./RequestList.tsx";
import { Dimension, exclude } from "./Routes.tsx";
import { Tiles } from "./Tiles.tsx";
import { LatencyPanel, RequestsPanel } from "./TimePanels.tsx";

const TABS = ["all", "new", "silent", "failing"] as const;
const MEASURES = "requests,errors,errorRate,p95Ms,bytes,firstSeen,lastSeen";

/** Show all consumers, or the one that the address names. */
export function Consumers() {
  const { consumer } = view.value.own;
  return consumer === undefined ? <AllConsumers /> : <Consumer consumer={consumer} />;
}

function AllConsumers() {
  const recorded = application.value?.recorded.consumers ?? true;
  if (!recorded) return <NoneNamed />;
  return (
    <>
      <div class="grid two">
        <ActiveConsumers />
        <TopConsumers />
      </div>
      <ConsumerTable />
    </>
  );
}

/** Say how requests name their consumers, until one does. */
function NoneNamed() {
  const refresh = refreshes.value;
  useEffect(() => {
    if (isShared.value) return;
    const giveUp = new AbortController();
    askWho(giveUp.signal, () => {});
    return () => giveUp.abort();
  }, [refresh]);
  return (
    <section class="panel state">
      <p>No request names its consumer. One option of the middleware does:</p>
      <pre>
        <code>{'consumer="X-Client-Id"   # the header that identifies who calls'}</code>
      </pre>
    </section>
  );
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
        limit: PAGE_ROWS,
        offset: firstRow(),
        series: 24,
        ...(tab === "all" ? {} : { having: tab }),
        ...(search === null ? {} : { search }),
      },
      { compares: true, also: tab === "all" ? [] : NAMED },
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
          <Which tab={tab} />
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
              { ...CONSUMER, cell: (row) => <ConsumerCell row={row} /> },
              requests(["consumer_id"]),
              CHANGE,
              errorRate(["consumer_id"]),
              milliseconds("p95", "p95Ms", ["consumer_id"]),
              BYTES,
              FIRST_SEEN,
              LAST_SEEN,
              TREND,
            ]}
          />
          <p class="soft foot">
            {formatCounted(data.pagination.total, "consumer")}
            {percentilesNote(data)}
            <Pages {...data} />
          </p>
        </>
      )}
    </Panel>
  );
}

/** The choice of consumers: tabs, or a select on a phone. */
function Which({ tab }: { tab: (typeof TABS)[number] }) {
  const counts = useRestricted();
  const choose = (name: string) => showWith({ own: name === "all" ? {} : { tab: name } });
  const text = (name: (typeof TABS)[number]) => (name === "all" ? name : `${name} ${counts[name]}`);
  if (isPhone.value) {
    return (
      <select aria-label="Which consumers" value={tab} onChange={(event) => choose(event.currentTarget.value)}>
        {TABS.map((name) => (
          <option key={name} value={name}>
            {text(name)}
          </option>
        ))}
      </select>
    );
  }
  return (
    <div class="segments" role="tablist" aria-label="Which consumers">
      {TABS.map((name) => (
        <button key={name} type="button" role="tab" aria-selected={tab === name} onClick={() => choose(name)}>
          {text(name)}
        </button>
      ))}
    </div>
  );
}

/** A consumer; on a phone, which has no room for a column of it, its trend stands beneath. */
function ConsumerCell({ row }: { row: BreakdownRow }) {
  return (
    <>
      {CONSUMER.cell(row)}
      {isPhone.value && <div>{TREND.cell(row)}</div>}
    </>
  );
}

/** Return how many consumers are new, silent and failing, as they stand in the tabs. */
function useRestricted(): Record<"new" | "silent" | "failing", string> {
  const count = (having: string) => {
    const answer = useQuestion<Breakdown>(restricted(having)).value.data;
    return answer === null ? "" : formatCount(answer.pagination.total);
  };
  return { new: count("new"), silent: count("silent"), failing: count("failing") };
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
        {!binding.value?.oneConsumer && <AgainstOthers also={also} />}
        <Dimension title="Routes" field="route" also={also} />
        <Dimension title="Errors" field="error_type" also={[...also, ...FAILED]} />
        <Dimension title="Statuses" field="status_code" also={also} />
        <Dimension title="Versions" field="version" also={also} />
      </div>
      <RequestList title="Last requests" limit={20} also={also} />
    </>
  );
}
