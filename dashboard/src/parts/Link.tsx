/** Links inside of the dashboard, and values that become filters when they are clicked. */

import { type ComponentChildren, Fragment } from "preact";
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

/** A text without spaces that is broken at its slashes, underscores and dots before it is broken anywhere. */
export function Breakable({ text }: { text: string }) {
  return (
    <>
      {text.split(/(?<=[/_.])/).map((part, index) => (
        <Fragment key={index}>
          {part}
          <wbr />
        </Fragment>
      ))}
    </>
  );
}

/** Return the text of a value as the page shows it. */
export function valueText(field: Field, value: string): string {
  return value === "" ? (EMPTY_LABELS[field] ?? "(empty)") : visibleText(value);
}

interface ValueProps {
  field: Field;
  value: string;
  maxCharacters?: number;
  /** Other words than the value's own. */
  text?: string;
}

/** A value of an event: a click keeps only it, a click with Shift leaves it out. */
export function Value({ field, value, maxCharacters = 60, text }: ValueProps) {
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
      {text ?? (value === "" ? valueText(field, value) : visibleText(value, maxCharacters))}
    </button>
  );
}
