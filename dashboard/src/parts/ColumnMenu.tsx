/** The menu that chooses the columns of a page's table; the address keeps the choice. */

import { showWith, view } from "../state.ts";
import { choiceText, chosenOf } from "./column_choice.ts";

/** Show the menu. */
export function ColumnMenu({ names, usual }: { names: readonly string[]; usual: readonly string[] }) {
  const { columns, ...own } = view.value.own;
  const chosen = chosenOf(columns, names, usual);
  const toggle = (name: string) => {
    const text = choiceText(
      names.filter((known) => chosen.includes(known) !== (known === name)),
      usual,
    );
    showWith({ own: text === undefined ? own : { ...own, columns: text } });
  };
  return (
    <details class="menu">
      <summary>Columns</summary>
      <fieldset>
        <legend class="hidden">Columns</legend>
        {names.map((name) => (
          <label key={name} class="check">
            <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} />
            {name}
          </label>
        ))}
      </fieldset>
    </details>
  );
}
