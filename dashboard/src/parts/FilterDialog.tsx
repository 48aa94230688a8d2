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
  MEASURED,
  parseFilter,
  parseSlowness,
  SEARCHED_FIELDS,
  withFilter,
} from "../filters.ts";
import { formatRequests } from "../sampling.ts";
import { sees } from "../shared.ts";
import { showWith, view } from "../state.ts";
import { Dialog } from "./Dialog.tsx";
import { closeDialog } from "./dialogs.ts";
import { Problem } from "./Form.tsx";
import { valueText } from "./Link.tsx";

/** Fields of which a filter takes a span. */
const SPANS: readonly (Field | "response_us")[] = ["response_us", ...MEASURED];
const STATUS_CLASSES = ["2xx", "3xx", "4xx", "5xx"];

/** Show the dialog that adds a filter. */
export function FilterDialog() {
  const field = useSignal<Field | "response_us">("route");
  const kind = useSignal<Filter["kind"]>("is");
  const text = useSignal("");
  const upTo = useSignal("");
  const problem = useSignal("");
  const searched = useSettled(text.value, 150);
  const isSpan = SPANS.includes(field.value);
  const isText = !isSpan && field.value !== "status_class";
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
    const name = field.value;
    const [from, to] = [text.value, upTo.value];
    const slowness = name === "response_us" ? parseSlowness(`${from}..${to}`) : null;
    if (slowness !== null) {
      showWith({ slowness });
      closeDialog();
      return;
    }
    const filter = isSpan
      ? parseFilter("between", `${name}:${inUnit(name, from)}..${inUnit(name, to)}`)
      : parseFilter(kind.value, `${name}:${value}`);
    if (filter === null) {
      problem.value = isSpan
        ? "A span is two whole numbers, the smaller one first. One of them may be left out."
        : "This field has no such value.";
      return;
    }
    showWith({ filters: withFilter(view.value.filters, filter) });
    closeDialog();
  };
  const values =
    field.value === "status_class"
      ? STATUS_CLASSES.map((value) => ({ value, requests: null }))
      : isText
        ? (found.value.data?.values ?? [])
        : [];
  const unit = field.value.endsWith("_bytes") ? "bytes" : "milliseconds";
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
                const chosen = [...FIELDS, ...MEASURED].find((known) => known === event.currentTarget.value);
                field.value = chosen ?? "response_us";
                if (kind.value === "has") kind.value = "is";
                text.value = upTo.value = problem.value = "";
              }}
            >
              {FIELDS.filter(sees).map((name) => (
                <option key={name} value={name}>
                  {FIELD_LABELS[name]}
                </option>
              ))}
              <option value="response_us">response time</option>
              {MEASURED.map((name) => (
                <option key={name} value={name}>
                  {FIELD_LABELS[name]}
                </option>
              ))}
            </select>
          </label>
          {!isSpan && (
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
            {isSpan ? `From, in ${unit}` : "Value"}
            <input
              autoFocus
              inputMode={isSpan ? "numeric" : "text"}
              value={text.value}
              autocomplete="off"
              spellcheck={false}
              onInput={(event) => {
                text.value = event.currentTarget.value;
              }}
            />
          </label>
          {isSpan && (
            <label class="grow">
              To, in {unit}
              <input
                value={upTo.value}
                inputMode="numeric"
                onInput={(event) => {
                  upTo.value = event.currentTarget.value;
                }}
              />
            </label>
          )}
          <button type="submit" class="primary">
            Add
          </button>
        </div>
        <Problem text={problem.value} />
        <ul class="completions">
          {values.map(({ value, requests }) => (
            <li key={value}>
              <button type="button" onClick={() => add(value)}>
                <span>{field.value === "response_us" ? value : valueText(field.value, value)}</span>
                {requests !== null && <span class="soft">{formatRequests(requests)}</span>}
              </button>
            </li>
          ))}
        </ul>
      </form>
    </Dialog>
  );
}

/** Return a number in the unit of its field: a first byte is typed in milliseconds. */
function inUnit(field: string, number: string): string {
  return field === "ttfb_us" && number !== "" ? `${number}000` : number;
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
