/** Make a signed link to the view: it expires, can be revoked, and shows nothing beyond its filters. */

import { useSignal } from "@preact/signals";
import { ApiError, change, ROOT } from "../api/client.ts";
import { addFilters } from "../filters.ts";
import { adminKey } from "../session.ts";
import { application, me, view } from "../state.ts";
import { Dialog } from "./Dialog.tsx";
import { closeDialog } from "./dialogs.ts";

const LENGTHS_S: [string, number][] = [
  ["1 hour", 3600],
  ["1 day", 86_400],
  ["7 days", 604_800],
  ["30 days", 2_592_000],
  ["90 days", 7_776_000],
];
const HIDEABLE = ["consumer_id", "url", "client_ip", "user_agent"];

/** Show the dialog that makes a link. */
export function ShareDialog() {
  const name = useSignal("");
  const expiresS = useSignal(604_800);
  const hides = useSignal<string[]>(["url", "client_ip", "user_agent"]);
  const link = useSignal("");
  const problem = useSignal("");
  const canShare = me.value?.kind === "admin" || adminKey.value !== null;
  const make = async () => {
    const query = new URLSearchParams();
    addFilters(query, view.value.filters, null);
    try {
      const share = await change<{ path: string }>(
        "POST",
        "api/shares",
        {
          application: application.value?.id,
          name: name.value || "Shared view",
          include: query.getAll("include"),
          exclude: query.getAll("exclude"),
          range: view.value.range ?? "24h",
          pages: [view.value.page === "settings" || view.value.page === "alerts" ? "overview" : view.value.page],
          hides: hides.value,
          expiresS: expiresS.value,
        },
        adminKey.value ?? undefined,
      );
      link.value = new URL(share.path.replace(/^\//, ""), ROOT).href;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.value = error.message;
    }
  };
  return (
    <Dialog title="Share this view" onClose={closeDialog} class="share-dialog">
      {!canShare && <p class="notice">A link needs an admin key. Enter one in Settings first.</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          make();
        }}
      >
        <label>
          Name
          <input
            value={name.value}
            maxLength={200}
            onInput={(event) => {
              name.value = event.currentTarget.value;
            }}
          />
        </label>
        <label>
          Ends after
          <select
            value={expiresS.value}
            onChange={(event) => {
              expiresS.value = Number(event.currentTarget.value);
            }}
          >
            {LENGTHS_S.map(([words, seconds]) => (
              <option key={seconds} value={seconds}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <fieldset>
          <legend>Hide</legend>
          {HIDEABLE.map((field) => (
            <label key={field} class="check">
              <input
                type="checkbox"
                checked={hides.value.includes(field)}
                onChange={(event) => {
                  const others = hides.value.filter((other) => other !== field);
                  hides.value = event.currentTarget.checked ? [...others, field] : others;
                }}
              />
              {field.replace("_", " ")}
            </label>
          ))}
        </fieldset>
        <button type="submit" class="primary" disabled={!canShare}>
          Make a link
        </button>
      </form>
      {problem.value !== "" && (
        <p class="notice" role="alert">
          {problem.value}
        </p>
      )}
      {link.value !== "" && (
        <p class="once">
          <code>{link.value}</code>
          <button type="button" onClick={() => navigator.clipboard.writeText(link.value)}>
            Copy
          </button>
          <span class="soft">Shown once. The filters of now are fixed in it.</span>
        </p>
      )}
    </Dialog>
  );
}
