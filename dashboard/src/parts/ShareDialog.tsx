/** Make a link to what the page shows: its filters, for some days, with or without single requests and names. */

import { useSignal } from "@preact/signals";
import { PAGES, type Page } from "../address.ts";
import type { NewShare } from "../api/answers.ts";
import { change, ROOT } from "../api/client.ts";
import { filterWords } from "../filters.ts";
import { visibleText } from "../format.ts";
import { adminKey } from "../session.ts";
import { application, frame, view, zone } from "../state.ts";
import { formatTime } from "../zones.ts";
import { copyText } from "./copy.ts";
import { Dialog } from "./Dialog.tsx";
import { closeDialog } from "./dialogs.ts";
import { Problem, Text, useRefusal } from "./Form.tsx";
import { PAGE_TITLES } from "./Frame.tsx";

const DURATIONS: readonly [label: string, seconds: number][] = [
  ["1 hour", 3600],
  ["1 day", 86_400],
  ["7 days", 604_800],
  ["30 days", 2_592_000],
  ["90 days", 7_776_000],
];
const SHAREABLE: readonly Page[] = PAGES.filter((page) => !["alerts", "quality", "settings"].includes(page));
/** What is hidden by one switch. */
const HIDDEN: readonly [label: string, fields: readonly string[]][] = [
  ["Hide who called", ["consumer_id", "client_ip", "user_agent"]],
  ["Hide URLs and data", ["url", "data"]],
  ["Hide where it runs", ["source", "version"]],
];
const RANGES_SHARED = ["15m", "1h", "6h", "24h", "7d", "30d", "90d", "1y"];

/** Show the dialog. */
export function ShareDialog() {
  return (
    <Dialog title="Share a part of this" onClose={closeDialog} class="share">
      <ShareForm />
    </Dialog>
  );
}

function ShareForm() {
  const name = useSignal("");
  const expiresS = useSignal(604_800);
  const pages = useSignal<readonly Page[]>(["overview"]);
  const hidden = useSignal<readonly boolean[]>([true, true, false]);
  const origins = useSignal("");
  const startsHere = useSignal(view.value.span !== null);
  const { startS } = frame.value;
  const made = useSignal<NewShare | null>(null);
  const { problem, run } = useRefusal();
  const bound = view.value.filters.filter(({ kind }) => kind === "is" || kind === "not");
  const isLeftOut = bound.length < view.value.filters.length || view.value.slowness !== null;
  const make = () =>
    run(async () => {
      const texts = (kind: "is" | "not") =>
        bound.filter((filter) => filter.kind === kind).map(({ field, value }) => `${field}:${value}`);
      const body = {
        application: application.value?.id ?? "",
        name: name.value,
        include: texts("is"),
        exclude: texts("not"),
        notBefore: startsHere.value ? startS : null,
        range: RANGES_SHARED.find((range) => range === view.value.range) ?? "7d",
        pages: pages.value,
        hides: HIDDEN.flatMap(([, fields], index) => (hidden.value[index] ? fields : [])),
        expiresS: expiresS.value,
        embedOrigins: origins.value.split(/\s+/).filter((origin) => origin !== ""),
      };
      made.value = await change<NewShare>("POST", "api/shares", body, adminKey.value ?? undefined);
    });
  if (made.value !== null) return <Made share={made.value} />;
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        make();
      }}
    >
      <p>
        {bound.length === 0
          ? "The link shows all requests of this application. Add filters first to show a part."
          : `The link shows only: ${bound.map((filter) => wordsOf(filter)).join(", ")}.`}
        {isLeftOut &&
          " Text searches, times and sizes of the page are not part of it: the link shows these requests, too."}
      </p>
      <div class="fields">
        <Text
          label="Name, for your list"
          value={name.value}
          onInput={(text) => {
            name.value = text;
          }}
        />
        <label>
          Ends after
          <select
            value={expiresS.value}
            onChange={(event) => {
              expiresS.value = Number(event.currentTarget.value);
            }}
          >
            {DURATIONS.map(([label, seconds]) => (
              <option key={label} value={seconds}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </div>
      <fieldset>
        <legend>Pages</legend>
        {SHAREABLE.map((page) => (
          <label key={page} class="check">
            <input
              type="checkbox"
              checked={pages.value.includes(page)}
              onChange={() => {
                pages.value = SHAREABLE.filter((known) => pages.value.includes(known) !== (known === page));
              }}
            />
            {PAGE_TITLES[page]}
          </label>
        ))}
      </fieldset>
      <fieldset>
        <legend>What its viewers do not see</legend>
        {HIDDEN.map(([label], index) => (
          <label key={label} class="check">
            <input
              type="checkbox"
              checked={hidden.value[index] ?? false}
              onChange={() => {
                hidden.value = hidden.value.map((isHidden, at) => isHidden !== (at === index));
              }}
            />
            {label}
          </label>
        ))}
      </fieldset>
      <label class="check">
        <input
          type="checkbox"
          checked={startsHere.value}
          onChange={(event) => {
            startsHere.value = event.currentTarget.checked;
          }}
        />
        Nothing before {formatTime(startS, zone.value)}, where this page begins
      </label>
      <Text
        label="Sites that may embed it, as https://portal.example.com"
        value={origins.value}
        onInput={(text) => {
          origins.value = text;
        }}
      />
      <Problem text={problem.value} />
      <p class="actions">
        <button type="submit" class="primary" disabled={pages.value.length === 0}>
          Make the link
        </button>
      </p>
    </form>
  );
}

function Made({ share }: { share: NewShare }) {
  const link = absolute(share.path);
  return (
    <div class="form">
      <p>This is shown once. Who has it sees what it shows, until it ends or you end it in Settings, Links.</p>
      <Copied label="Link" text={link} />
      {share.embedPath !== null && (
        <Copied
          label="Code to embed it"
          text={`<iframe src="${absolute(share.embedPath)}" title="API usage" width="100%" height="800"></iframe>`}
        />
      )}
    </div>
  );
}

function Copied({ label, text }: { label: string; text: string }) {
  return (
    <div class="fields">
      <label class="grow">
        {label}
        <input readOnly value={text} onFocus={(event) => event.currentTarget.select()} />
      </label>
      <button type="button" onClick={() => copyText(text, label)}>
        Copy
      </button>
    </div>
  );
}

function absolute(path: string): string {
  return new URL(path.slice(1), ROOT).href;
}

function wordsOf(filter: Parameters<typeof filterWords>[0]): string {
  const { field, verb, value } = filterWords(filter);
  return `${field} ${verb} ${visibleText(value, 60)}`;
}
