/** Add a filter by typing: a field, then its value, completed from what was recorded. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Values } from "../api/answers.ts";
import { question } from "../api/questions.ts";
import { useQuestion } from "../api/resource.ts";
import {
  FIELD_LABELS,
  FIELDS,
  type Field,
  type Filter,
  parseSlowness,
  SEARCHED_FIELDS,
  withFilter,
} from "../filters.ts";
import { formatCount } from "../format.ts";
import { sees } from "../shared.ts";
import { showWith, view } from "../state.ts";
import { Dialog } from "./Dialog.tsx";
import { closeDialog } from "./dialogs.ts";
import { valueText } from "./Link.tsx";

const STATUS_CLASSES = ["2xx", "3xx", "4xx", "5xx"];

/** Show the dialog that adds a filter. */
export function FilterDialog() {
  const field = useSignal<Field | "response_us">("route");
  const kind = useSignal<Filter["kind"]>("is");
  const text = useSignal("");
  const searched = useSettled(text.value, 150);
  const isText = field.value !== "response_us" && field.value !== "status_class";
  const found = useQuestion<Values>(
    isText
      ? question(
          "v1/values",
          { field: field.value, limit: 20, ...(searched === "" ? {} : { search: searched }) },
          { isUnfiltered: true },
        )
      : null,
  );
  const add = (value: string) => {
    if (field.value === "response_us") {
      const slowness = parseSlowness(value);
      if (slowness === null) return;
      showWith({ slowness });
    } else {
      showWith({ filters: withFilter(view.value.filters, { field: field.value, value, kind: kind.value }) });
    }
    closeDialog();
  };
  const values =
    field.value === "status_class"
      ? STATUS_CLASSES.map((value) => ({ value, requests: null }))
      : isText
        ? (found.value.data?.values ?? [])
        : [];
  const canSearch = field.value !== "response_us" && SEARCHED_FIELDS.includes(field.value);
  return (
    <Dialog title="Add a filter" onClose={closeDialog} class="filter-dialog">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          add(text.value);
        }}
      >
        <div class="fields">
          <label>
            Field
            <select
              value={field.value}
              onChange={(event) => {
                const chosen = FIELDS.find((known) => known === event.currentTarget.value);
                field.value = chosen ?? "response_us";
                if (kind.value === "has") kind.value = "is";
                text.value = "";
              }}
            >
              {FIELDS.filter(sees).map((name) => (
                <option key={name} value={name}>
                  {FIELD_LABELS[name]}
                </option>
              ))}
              <option value="response_us">response time</option>
            </select>
          </label>
          {field.value !== "response_us" && (
            <label>
              Must
              <select
                value={kind.value}
                onChange={(event) => {
                  const chosen = event.currentTarget.value;
                  kind.value = chosen === "not" ? "not" : chosen === "has" ? "has" : "is";
                }}
              >
                <option value="is">be</option>
                <option value="not">not be</option>
                {canSearch && <option value="has">contain</option>}
              </select>
            </label>
          )}
          <label class="grow">
            {field.value === "response_us" ? "Milliseconds, from..to" : "Value"}
            <input
              autoFocus
              value={text.value}
              autocomplete="off"
              spellcheck={false}
              placeholder={field.value === "response_us" ? "250..2000" : ""}
              onInput={(event) => {
                text.value = event.currentTarget.value;
              }}
            />
          </label>
          <button type="submit" class="primary">
            Add
          </button>
        </div>
        <ul class="completions">
          {values.map(({ value, requests }) => (
            <li key={value}>
              <button type="button" onClick={() => add(value)}>
                <span>{field.value === "response_us" ? value : valueText(field.value, value)}</span>
                {requests !== null && <span class="soft">{formatCount(requests)}</span>}
              </button>
            </li>
          ))}
        </ul>
      </form>
    </Dialog>
  );
}

/** Return a text that has not changed for some milliseconds. */
export function useSettled(text: string, afterMs: number): string {
  const settled = useSignal(text);
  useEffect(() => {
    const timer = setTimeout(() => {
      settled.value = text;
    }, afterMs);
    return () => clearTimeout(timer);
  }, [text, afterMs]);
  return settled.value;
}
