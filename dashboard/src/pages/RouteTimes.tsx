/** Times by route: before and after a deploy, and to the first byte. */

import type { ComponentChildren } from "preact";
import { onPage, type View } from "../address.ts";
import type { Breakdown, BreakdownRow } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import type { Marker } from "../charts/plot.ts";
import { changeOf } from "../compare.ts";
import type { Filter } from "../filters.ts";
import { formatMs, margin } from "../format.ts";
import { Link } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { isPhone } from "../parts/phone.ts";
import { type Column, Table } from "../parts/Table.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { twoLines } from "../parts/two_lines.tsx";
import { formatRequests } from "../sampling.ts";
import { frame, showWith, view } from "../state.ts";
import { breakdownTable, Milliseconds, ROUTE, RouteLink, requests, requestsBehind, withoutSort } from "./figures.tsx";
import { useDeploys } from "./TimePanels.tsx";

/** The time to the first byte against the whole time, by route. */
export function FirstByte() {
  const parameters = { by: "route", measures: "requests,p95Ms,ttfbP95Ms", sort: "requests", limit: 20 };
  const resource = useQuestion<Breakdown>(question("v1/breakdown", parameters));
  return (
    <Panel
      title="Time to the first byte, by route"
      resource={resource}
      isEmpty={(data) => data.rows.length === 0}
      table={breakdownTable}
    >
      {(data) => (
        <Table
          caption="Time to the first byte against the whole time"
          rows={data.rows}
          keyOf={(row) => row.key[0] ?? ""}
          open={(row) => onPage(view.value, "routes", { route: row.key[0] ?? "" })}
          columns={onPhone(
            (row) => `p95 ${formatMs(row.ttfbP95Ms)} to the first byte, ${formatMs(row.p95Ms)} of all`,
            [
              ROUTE,
              withoutSort(requests(["route"])),
              {
                title: `p95 to the first byte${margin(data.estimated)}`,
                isNumber: true,
                cell: (row) => {
                  const fromUs = Math.floor(1000 * (row.ttfbP95Ms ?? 0));
                  const slowest: Filter = { field: "ttfb_us", value: `${fromUs}..`, kind: "between" };
                  return <Link to={requestsBehind(row, ["route"], [slowest])}>{formatMs(row.ttfbP95Ms)}</Link>;
                },
              },
              {
                title: `p95 of all${margin(data.estimated)}`,
                isNumber: true,
                cell: (row) => <Milliseconds row={row} by={["route"]} ms={row.p95Ms} />,
              },
            ],
          )}
        />
      )}
    </Panel>
  );
}

/** Return the columns of a table of routes; a phone has one, of the route and a line about it. */
function onPhone(
  line: (row: BreakdownRow) => ComponentChildren,
  columns: Column<BreakdownRow>[],
): Column<BreakdownRow>[] {
  if (!isPhone.value) return columns;
  return [
    twoLines({
      title: "Route",
      class: "opens",
      first: (row) => <RouteLink route={row.key[0] ?? ""} />,
      second: line,
    }),
  ];
}

/** Return the last deploy: the one that somebody who looks at latency asks about. */
function newest(markers: readonly Marker[]): Marker | undefined {
  return [...markers].sort((a, b) => b.timeS - a.timeS)[0];
}

/** The fewest requests on each side of a deploy that tell something. */
const ENOUGH = 30;

export function BeforeAndAfter() {
  const markers = useDeploys();
  const chosen = markers.find(({ label }) => label === view.value.own.before) ?? newest(markers);
  if (chosen === undefined) return null;
  return (
    <>
      <div class="actions">
        <label>
          Before and after{" "}
          <select
            value={chosen.label}
            onChange={(event) => showWith({ own: { ...view.value.own, before: event.currentTarget.value } })}
          >
            {markers.map(({ label, timeS }) => (
              <option key={`${label} ${timeS}`} value={label}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </div>
      <BeforeAndAfterPanel label={chosen.label} timeS={Math.floor(chosen.timeS)} />
    </>
  );
}

function BeforeAndAfterPanel({ label, timeS }: { label: string; timeS: number }) {
  const { endS } = frame.value;
  const lengthS = Math.max(60, Math.min(endS - timeS, 7 * 86_400));
  const parameters = { by: "route", measures: "requests,p95Ms", sort: "requests", limit: 20 };
  const spanAfter = { startS: timeS, endS: timeS + lengthS };
  const spanBefore = { startS: timeS - lengthS, endS: timeS };
  const after = useQuestion<Breakdown>(question("v1/breakdown", parameters, { span: spanAfter }));
  const before = useQuestion<Breakdown>(question("v1/breakdown", parameters, { span: spanBefore }));
  const beforeRows = new Map((before.value.data?.rows ?? []).map((row) => [row.key[0] ?? "", row]));
  const old = (row: BreakdownRow) => beforeRows.get(row.key[0] ?? "");
  const change = (row: BreakdownRow) => {
    if ((row.requests ?? 0) < ENOUGH || (old(row)?.requests ?? 0) < ENOUGH) return "too few requests to tell";
    return <ChangeText change={changeOf(row.p95Ms, old(row)?.p95Ms, old(row)?.requests ?? 0, "lower", formatMs)} />;
  };
  const count = (row: BreakdownRow, requests: number | null | undefined, span: View["span"]) => (
    <Link to={{ ...requestsBehind(row, ["route"], []), range: null, span }}>{formatRequests(requests ?? 0)}</Link>
  );
  const counts = (row: BreakdownRow) => (
    <>
      {count(row, old(row)?.requests, spanBefore)}, {count(row, row.requests, spanAfter)}
    </>
  );
  return (
    <Panel
      title={`Before and after ${label}, by route`}
      resource={after}
      isEmpty={(data) => data.rows.length === 0}
      table={(data) => ({
        header: ["Route", "p95 before, ms", "p95 after, ms", "Requests before", "Requests after"],
        rows: data.rows.map((row) => [
          row.key[0] ?? "",
          old(row)?.p95Ms ?? null,
          row.p95Ms ?? null,
          old(row)?.requests ?? 0,
          row.requests ?? 0,
        ]),
      })}
    >
      {(data) => (
        <Table
          caption={`p95 before and after ${label}`}
          rows={data.rows}
          keyOf={(row) => row.key[0] ?? ""}
          open={(row) => onPage(view.value, "routes", { route: row.key[0] ?? "" })}
          columns={onPhone(
            (row) => (
              <>
                p95 {formatMs(old(row)?.p95Ms)}, then {formatMs(row.p95Ms)}: {change(row)}
              </>
            ),
            [
              ROUTE,
              {
                title: `p95 before${margin(before.value.data?.estimated ?? false)}`,
                isNumber: true,
                cell: (row) => <Milliseconds row={row} by={["route"]} ms={old(row)?.p95Ms} span={spanBefore} />,
              },
              {
                title: `p95 after${margin(data.estimated)}`,
                isNumber: true,
                cell: (row) => <Milliseconds row={row} by={["route"]} ms={row.p95Ms} span={spanAfter} />,
              },
              { title: "Change", isNumber: true, cell: change },
              { title: "Requests before, after", isNumber: true, isMinor: true, cell: counts },
            ],
          )}
        />
      )}
    </Panel>
  );
}
