/** The latency of one consumer against that of all others. */

import type { Latency } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import { changeOf } from "../compare.ts";
import type { Filter } from "../filters.ts";
import { formatDuration, margin } from "../format.ts";
import { Panel, Scrolled } from "../parts/Panel.tsx";
import { ChangeText } from "../parts/Tile.tsx";
import { frame } from "../state.ts";
import { Histogram } from "./Histogram.tsx";
import { drawable, othersOf } from "./others.ts";

/** The finest resolution: what is taken from it stays within 2 %. */
const FINEST = { resolution: 18 };
/** The fewest requests on each side that tell something. */
const ENOUGH = 30;
const LEVELS = ["50", "75", "90", "95", "99"];

/** The longest range: the requests of one consumer are read from the events themselves. */
const LONGEST_S = 7 * 86_400;

/** Show both distributions, and their percentiles side by side. */
export function AgainstOthers({ also }: { also: readonly Filter[] }) {
  const { startS, endS } = frame.value;
  if (endS - startS <= LONGEST_S) return <Both also={also} />;
  return (
    <section class="panel" aria-label="Latency against all others">
      <h2>Latency against all others</h2>
      <p class="state">Ranges up to 7 days show it: it is read from the events themselves.</p>
    </section>
  );
}

function Both({ also }: { also: readonly Filter[] }) {
  const own = useQuestion<Latency>(question("v1/latency", FINEST, { also }));
  const whole = useQuestion<Latency>(question("v1/latency", FINEST)).value.data;
  const others = (data: Latency) => (whole === null ? null : othersOf(whole, data));
  return (
    <Panel
      title="Latency against all others"
      resource={own}
      isEmpty={(data) => data.total === 0}
      table={(data) => ({
        header: ["Percentile", "This consumer (µs)", "All others (µs)"],
        rows: LEVELS.map((level) => [
          `p${level}`,
          data.percentiles[level] ?? null,
          others(data)?.percentiles[level] ?? null,
        ]),
      })}
    >
      {(data) => <Compared own={data} others={others(data)} />}
    </Panel>
  );
}

function Compared({ own, others }: { own: Latency; others: Latency | null }) {
  if (others === null) return <Histogram latency={drawable(own)} />;
  if (others.total === 0) return <p class="state">Nobody else sent a request in this range.</p>;
  const { bounds, counts, times, total, percentiles, max, min, estimated } = drawable(others);
  const outline = { counts, times, total, percentiles, max, min, estimated, start: 0, end: 0 };
  const isEnough = Math.min(own.total, total) >= ENOUGH;
  return (
    <>
      <Histogram latency={{ ...drawable(own), bounds, previous: outline }} outlined="all others" />
      <Scrolled title="Percentiles">
        <table class="rows">
          <caption class="hidden">Percentiles of this consumer and of all others</caption>
          <thead>
            <tr>
              <th scope="col">Percentile</th>
              <th scope="col" class="number">
                Its own{margin(own.estimated)}
              </th>
              <th scope="col" class="number">
                All others{margin(true)}
              </th>
              <th scope="col" class="number">
                Difference
              </th>
            </tr>
          </thead>
          <tbody>
            {LEVELS.map((level) => (
              <tr key={level}>
                <th scope="row">p{level}</th>
                <td class="number">{formatDuration(own.percentiles[level])}</td>
                <td class="number">{formatDuration(others.percentiles[level])}</td>
                <td class="number">
                  {isEnough ? (
                    <ChangeText
                      change={changeOf(
                        own.percentiles[level],
                        others.percentiles[level],
                        total,
                        "lower",
                        formatDuration,
                      )}
                    />
                  ) : (
                    "too few requests to tell"
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scrolled>
    </>
  );
}
