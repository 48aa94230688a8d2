/** A tile: one figure, its change, and a link to what lies behind it. */

import type { ComponentChildren } from "preact";
import type { View } from "../address.ts";
import type { Change } from "../compare.ts";
import { Link } from "./Link.tsx";

interface TileProps {
  label: string;
  value: string;
  /** The exact figure, for the tooltip. */
  exact?: string;
  change?: Change | null;
  note?: ComponentChildren;
  to?: View;
  /** A small line of the figure over time. */
  trend?: ComponentChildren;
}

/** Show one figure. */
export function Tile({ label, value, exact, change, note, to, trend }: TileProps) {
  return (
    <div class="tile">
      <dt>{label}</dt>
      <dd>
        <span class="figure" title={exact ?? value}>
          {to === undefined ? value : <Link to={to}>{value}</Link>}
        </span>
        <span class="tile-notes">
          {change !== null && change !== undefined && <ChangeText change={change} />}
          {note}
        </span>
        {trend}
      </dd>
    </div>
  );
}

/** Show a change with its direction as a sign, never by colour alone. */
export function ChangeText({ change }: { change: Change }) {
  if (change.text === "") return null;
  const sign = change.direction === null ? "" : change.direction === "up" ? "▲\u00a0" : "▼\u00a0";
  return (
    <span class={`change ${change.tone}`}>
      <span aria-hidden="true">{sign}</span>
      <span class="hidden">{change.direction === null ? "" : change.direction === "up" ? "up " : "down "}</span>
      {change.text}
    </span>
  );
}
