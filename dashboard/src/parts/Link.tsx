/** Links inside of the dashboard, and values that become filters when they are clicked. */

import type { ComponentChildren } from "preact";
import type { View } from "../address.ts";
import { EMPTY_LABELS, type Field, withFilter } from "../filters.ts";
import { visibleText } from "../format.ts";
import { seesPage } from "../shared.ts";
import { linkTo, show, showWith, view } from "../state.ts";

interface LinkProps {
  to: View;
  children: ComponentChildren;
  class?: string;
  title?: string;
  isCurrent?: boolean;
}

/** A link to a view: a plain click stays in the page, any other does what links do. */
export function Link({ to, children, title, isCurrent, ...rest }: LinkProps) {
  if (!seesPage(to.page)) return <span class={rest.class ?? ""}>{children}</span>;
  const onClick = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    show(to);
  };
  return (
    <a
      href={linkTo(to)}
      onClick={onClick}
      {...(title === undefined ? {} : { title })}
      {...(isCurrent ? { "aria-current": "page" as const } : {})}
      {...(rest.class === undefined ? {} : { class: rest.class })}
    >
      {children}
    </a>
  );
}

/** Return the text of a value as the page shows it. */
export function valueText(field: Field, value: string): string {
  return value === "" ? (EMPTY_LABELS[field] ?? "(empty)") : visibleText(value);
}

/** A value of an event: a click keeps only it, a click with Shift leaves it out. */
export function Value({ field, value, maxCharacters = 60 }: { field: Field; value: string; maxCharacters?: number }) {
  const text = value === "" ? valueText(field, value) : visibleText(value, maxCharacters);
  return (
    <button
      type="button"
      class="value"
      title={`${valueText(field, value)}\nClick: only this. Shift-click: all but this.`}
      onClick={(event) => {
        event.stopPropagation();
        const kind = event.shiftKey ? "not" : "is";
        showWith({ filters: withFilter(view.value.filters, { field, value, kind }) });
      }}
    >
      {text}
    </button>
  );
}
