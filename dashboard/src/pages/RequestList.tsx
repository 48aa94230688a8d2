/** A short list of single requests, with a link to all of them. */

import { onPage } from "../address.ts";
import type { Events } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import type { Filter } from "../filters.ts";
import { Link } from "../parts/Link.tsx";
import { Panel } from "../parts/Panel.tsx";
import { Table } from "../parts/Table.tsx";
import { view } from "../state.ts";
import { eventColumns, eventTable } from "./event_columns.tsx";

/** Show the newest requests under further filters. */
export function RequestList({ title, limit, also }: { title: string; limit: number; also: readonly Filter[] }) {
  const resource = useQuestion<Events>(question("v1/events", { limit }, { also }));
  const all = { ...onPage(view.value, "requests"), filters: [...view.value.filters, ...also] };
  return (
    <Panel
      title={title}
      resource={resource}
      height={160}
      isEmpty={(data) => data.events.length === 0}
      empty={<p class="state">No such request in this range.</p>}
      table={(data) => eventTable(data.events)}
      controls={<Link to={all}>All of them</Link>}
    >
      {(data) => (
        <Table
          caption={title}
          rows={data.events}
          keyOf={(event) => event.id}
          open={(event) => ({ ...all, own: { event: event.id } })}
          columns={eventColumns()}
        />
      )}
    </Panel>
  );
}
