/** Routes: which endpoint is used, slow, failing; and one route. */

import { onPage } from "../address.ts";
import type { Breakdown, BreakdownRow, Latency } from "../api/answers.ts";
import { comparesNow, question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import type { Field, Filter } from "../filters.ts";
import { areFailures, withFilter } from "../filters.ts";
import { formatCounted, formatExact, formatMs, formatPercent } from "../format.ts";
import { ColumnMenu } from "../parts/ColumnMenu.tsx";
import { chosenOf } from "../parts/column_choice.ts";
import { Link, Value } from "../parts/Link.tsx";
import { firstRow, PAGE_ROWS, Pages } from "../parts/Pages.tsx";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { Search } from "../parts/Search.tsx";
import { NoFailure } from "../parts/States.tsx";
import { type Column, Table } from "../parts/Table.tsx";
import { twoLines } from "../parts/two_lines.tsx";
import { formatRequests } from "../sampling.ts";
import { binding } from "../shared.ts";
import { frame, showWith, view } from "../state.ts";
import {
  breakdownTable,
  CHANGE,
  ConsumersLink,
  errorRate,
  FAILED,
  LAST_SEEN,
  milliseconds,
  order,
  percentilesNote,
  ROUTE,
  RouteLink,
  requests,
  TIME_SHARE,
  TREND,
  withoutSort,
} from "./figures.tsx";
import { distributionTable, Histogram } from "./Histogram.tsx";
import { kindName } from "./kinds.ts";
import { RequestList } from "./RequestList.tsx";
import { useConsumerCounts } from "./rows_beside.ts";
import { Tiles } from "./Tiles.tsx";
import { LatencyPanel, RequestsPanel } from "./TimePanels.tsx";
import { unusedRoutes } from "./unused.ts";

const MEASURES = "requests,errors,errorRate,p50Ms,p95Ms,p99Ms,timeShare,lastSeen";
const DEFAULT_SORT = "-timeShare";
const UNUSED = "unused";
const UNMATCHED = ["", "(unmatched)"];

const CONSUMERS = "Consumers";

const ROUTE_AND_METHOD: Column<BreakdownRow> = {
  title: "Route",
  isWide: true,
  cell: (row) => (
    <RouteLink route={row.key[0] ?? ""}>
      <b class="method">{row.key[1]}</b>{" "}
    </RouteLink>
  ),
};

/** A route as a card. */
const CARD = twoLines<BreakdownRow>({
  title: "Route",
  class: "opens boxed",
  first: ROUTE_AND_METHOD.cell,
  second: (row) => (
    <>
      {formatRequests(row.requests)} {row.requests === 1 ? "request" : "requests"} · {formatPercent(row.errorRate)}{" "}
      errors · p95 {formatMs(row.p95Ms)}
    </>
  ),
  sorts: [requests([]), errorRate([]), milliseconds("p95", "p95Ms", [])],
});

const COLUMNS: readonly Column<BreakdownRow>[] = [
  requests(["route", "method"]),
  CHANGE,
  errorRate(["route", "method"]),
  milliseconds("p50", "p50Ms", ["route", "method"], true),
  milliseconds("p95", "p95Ms", ["route", "method"]),
  milliseconds("p99", "p99Ms", ["route", "method"], true),
  TIME_SHARE,
  LAST_SEEN,
  TREND,
];
const TITLES = COLUMNS.map(({ title }) => title);
/** Every column that can be chosen, in the order of the table. */
const COLUMN_NAMES = [...TITLES.slice(0, -2), CONSUMERS, ...TITLES.slice(-2)];

/** Return the page's own choices with another set of routes. */
function showing(routes: string): Record<string, string> {
  const { show: _, from: __, ...own } = view.value.own;
  return routes === "all" ? own : { ...own, show: routes };
}

/** Show all routes, or the one that the address names. */
export function Routes() {
  const { route } = view.value.own;
  return route === undefined ? <AllRoutes /> : <Route route={route} />;
}

function AllRoutes() {
  const { sort, search, own } = view.value;
  const show = own.show ?? "all";
  const chosen = chosenOf(own.columns, COLUMN_NAMES, COLUMN_NAMES);
  const consumers = useConsumerCounts(["route", "method"], {
    isSeen: chosen.includes(CONSUMERS) && !isPhone.value,
  });
  const counted: Column<BreakdownRow> = {
    title: CONSUMERS,
    isNumber: true,
    isMinor: true,
    cell: (row) => <ConsumersLink row={row} by={["route", "method"]} count={consumers?.(row.key)} />,
  };
  const columns = [
    ...COLUMNS.slice(0, -2),
    ...(consumers === undefined ? [] : [counted]),
    ...COLUMNS.slice(-2),
  ].filter(({ title }) => chosen.includes(title));
  const resource = useQuestion<Breakdown>(
    question(
      "v1/breakdown",
      {
        by: "route,method",
        measures: MEASURES,
        ...order(sort ?? DEFAULT_SORT),
        limit: PAGE_ROWS,
        offset: firstRow(),
        series: 24,
        ...(search === null || search === "" ? {} : { search }),
      },
      { compares: !(sort ?? "").includes("change:") || comparesNow() },
    ),
  );
  const unused = useUnused(resource.value.data, search);
  const rows = (data: Breakdown) => lastUnmatched(shown(data.rows, show), sort === null);
  return (
    <Panel
      title="Routes"
      resource={resource}
      height={480}
      isEmpty={(data) => data.rows.length === 0 && (search ?? "") === ""}
      table={(data) => breakdownTable(data)}
      controls={
        <>
          <Search label="Search in routes" />
          <select
            aria-label="Show"
            value={show}
            onChange={(event) => showWith({ own: showing(event.currentTarget.value) })}
          >
            <option value="all">all</option>
            <option value="failing">failing</option>
            <option value="slow">p95 over 1 s</option>
            <option value={UNUSED}>without requests</option>
          </select>
          {!isPhone.value && <ColumnMenu names={COLUMN_NAMES} usual={COLUMN_NAMES} />}
        </>
      }
    >
      {(data) =>
        show === UNUSED ? (
          <Unused rows={unused ?? []} />
        ) : (
          <>
            <Table
              caption="Routes"
              rows={rows(data)}
              keyOf={(row) => row.key.join(" ")}
              defaultSort={DEFAULT_SORT}
              open={(row) => onPage(view.value, "routes", { route: row.key[0] ?? "" })}
              exclude={(row) => exclude("route", row)}
              columns={isPhone.value ? [CARD] : [ROUTE_AND_METHOD, ...columns]}
            />
            <p class="soft foot">
              {formatCounted(data.pagination.total, "route")}
              {percentilesNote(data)}
              <Pages {...data} />
              {unused !== null && unused.length > 0 && (
                <>
                  {" · "}
                  <Link to={{ ...view.value, own: showing(UNUSED) }}>
                    {formatExact(unused.length)} without requests in this range
                  </Link>
                </>
              )}
            </p>
          </>
        )
      }
    </Panel>
  );
}

/** How long before the range a route had requests that is known from earlier. */
const EARLIER_S = 30 * 86_400;
const MAX_ROUTES = 1000;

/** Return the routes that had requests in the 30 days before the range and none in it; null where that is not known.
 *
 * @param shown the routes of the page's table, which are all routes where it was not searched and has no second page
 */
function useUnused(shown: Breakdown | null, search: string | null): BreakdownRow[] | null {
  const { startS } = frame.value;
  const fromS = Math.max(startS - EARLIER_S, binding.value?.notBefore ?? 0);
  const parameters = { by: "route", measures: "requests,lastSeen", limit: MAX_ROUTES };
  const span = { startS: fromS, endS: startS };
  const before = useQuestion<Breakdown>(fromS < startS ? question("v1/breakdown", parameters, { span }) : null);
  const isWhole = shown !== null && shown.pagination.total === shown.rows.length && (search ?? "") === "";
  const now = useQuestion<Breakdown>(
    shown === null || isWhole ? null : question("v1/breakdown", { by: "route", limit: MAX_ROUTES }),
  );
  const known = isWhole ? shown : now.value.data;
  if (before.value.data === null || known === null || known.pagination.hasMore) return null;
  return unusedRoutes(before.value.data.rows, new Set(known.rows.map(({ key }) => key[0] ?? "")));
}

function Unused({ rows }: { rows: readonly BreakdownRow[] }) {
  if (rows.length === 0) return <p class="state">Every route of the 30 days before had requests in this range.</p>;
  return (
    <Table
      caption="Routes without requests in this range"
      rows={rows}
      keyOf={(row) => row.key[0] ?? ""}
      open={(row) => onPage(view.value, "routes", { route: row.key[0] ?? "" })}
      columns={[
        ROUTE,
        { title: "Requests in the 30 days before", isNumber: true, cell: (row) => formatRequests(row.requests) },
        withoutSort(LAST_SEEN),
      ]}
    />
  );
}

function Route({ route }: { route: string }) {
  const also: Filter[] = [{ field: "route", value: route, kind: "is" }];
  const isUnmatched = UNMATCHED.includes(route);
  return (
    <>
      {isUnmatched && <p class="notice">No route matched. Top paths below.</p>}
      <Tiles also={also} />
      <div class="grid two">
        <RequestsPanel also={also} />
        <LatencyPanel also={also} />
      </div>
      <div class="grid two">
        <HistogramPanel also={also} />
        {isUnmatched && <Dimension title="Paths" field="url" also={also} />}
        <Dimension title="Consumers" field="consumer_id" also={also} />
        <Dimension title="Statuses" field="status_code" also={also} />
        <Dimension title="Errors" field="error_type" also={[...also, ...FAILED]} />
        <Dimension title="Versions" field="version" also={also} />
        <Dimension title="Sources" field="source" also={also} />
        <Dimension title="Methods" field="method" also={also} />
        {!isUnmatched && <Dimension title="Functions" field="function" also={also} />}
      </div>
      <RequestList title="Last failed requests" limit={20} also={[...also, ...FAILED]} />
    </>
  );
}

/** The distribution of the response time, with the period before as an outline. */
export function HistogramPanel({ also }: { also: readonly Filter[] }) {
  const resource = useQuestion<Latency>(question("v1/latency", { resolution: 3 }, { compares: true, also }));
  return (
    <Panel
      title="Distribution of the response time"
      resource={resource}
      isEmpty={(data) => data.total === 0}
      table={distributionTable}
    >
      {(data) => <Histogram latency={data} />}
    </Panel>
  );
}

/** A small table of one dimension, whose values filter the page. */
export function Dimension({ title, field, also }: { title: string; field: Field; also: readonly Filter[] }) {
  // An error without a type has the name of its status.
  const by: readonly Field[] = field === "error_type" ? [field, "status_code"] : [field];
  const named = ({ key: [value = "", status = ""] }: BreakdownRow) =>
    field === "error_type" && value === ""
      ? { field: "status_code" as const, value: status, text: kindName("", status) }
      : { field, value };
  // A status is an error or is none, and of failures all failed.
  const hasRate = field !== "status_code" && !areFailures([...view.value.filters, ...also]);
  const resource = useQuestion<Breakdown>(
    question(
      "v1/breakdown",
      { by: by.join(","), measures: "requests,errorRate", sort: "requests", limit: 10 },
      { also, compares: true },
    ),
  );
  return (
    <Panel
      title={title}
      resource={resource}
      height={120}
      isEmpty={(data) => data.rows.length === 0}
      empty={field === "error_type" ? <NoFailure /> : undefined}
      table={breakdownTable}
    >
      {(data) => (
        <Table
          caption={title}
          rows={data.rows}
          keyOf={(row) => row.key.join(" ")}
          exclude={(row) => leaveOut(named(row))}
          columns={[
            { title, cell: (row) => <Value {...named(row)} /> },
            withoutSort(requests(by, also)),
            withoutSort(CHANGE),
            ...(hasRate ? [withoutSort(errorRate([field], also))] : []),
          ]}
        />
      )}
    </Panel>
  );
}

/** Leave the value of a row out of the page. */
export function exclude(field: Field, row: BreakdownRow): void {
  leaveOut({ field, value: row.key[0] ?? "" });
}

function leaveOut({ field, value }: Pick<Filter, "field" | "value">): void {
  showWith({ filters: withFilter(view.value.filters, { field, value, kind: "not" }) });
}

function shown(rows: readonly BreakdownRow[], show: string): BreakdownRow[] {
  if (show === "failing") return rows.filter((row) => (row.errorRate ?? 0) > 0);
  if (show === "slow") return rows.filter((row) => (row.p95Ms ?? 0) > 1000);
  return [...rows];
}

/** Requests without a route come last where nobody chose an order. */
function lastUnmatched(rows: BreakdownRow[], isDefaultOrder: boolean): BreakdownRow[] {
  if (!isDefaultOrder) return rows;
  const isUnmatched = (row: BreakdownRow) => UNMATCHED.includes(row.key[0] ?? "");
  return [...rows.filter((row) => !isUnmatched(row)), ...rows.filter(isUnmatched)];
}
