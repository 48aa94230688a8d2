/** What forms share: a field for text, and what the service refused. */

import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client.ts";
import { sessionEnded } from "../api/sign_in.ts";
import { adminKey, lockSettings } from "../session.ts";
import { copyText } from "./copy.ts";

interface TextProps {
  label: string;
  value: string;
  onInput: (text: string) => void;
  isRequired?: boolean;
}

/** Show a field for text with its label. */
export function Text({ label, value, onInput, isRequired = false }: TextProps) {
  return (
    <label>
      {label}
      <input value={value} required={isRequired} onInput={(event) => onInput(event.currentTarget.value)} />
    </label>
  );
}

/** Return the message of the last refusal, and a function that runs an action and keeps what the service refused. */
export function useRefusal(): { problem: Signal<string>; run: (action: () => Promise<void>) => Promise<void> } {
  const problem = useSignal("");
  const run = async (action: () => Promise<void>) => {
    problem.value = "";
    try {
      await action();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.value = error.message;
      if (error.status === 401) keyEnded();
    }
  };
  return { problem, run };
}

/** Ask for a key again, as the one that was used is not valid any more. */
function keyEnded(): void {
  if (adminKey.value === null) sessionEnded();
  else lockSettings();
}

/** Show what the service refused, if it refused something. */
export function Problem({ text }: { text: string }) {
  return text === "" ? null : (
    <p class="notice" role="alert">
      {text}
    </p>
  );
}

/** What a part of the settings asked for. */
interface Asked {
  data: Signal<unknown>;
  problem: Signal<string>;
  load: () => Promise<void>;
}

/** Show that a part of the settings still asks, or what the service refused. */
export function Asking({ of: { data, problem, load } }: { of: Asked }) {
  if (data.value !== null) return <Problem text={problem.value} />;
  if (problem.value === "") return <div class="skeleton" style={{ height: "80px" }} aria-busy="true" />;
  return (
    <>
      <Problem text={problem.value} />
      <p class="actions">
        <button type="button" onClick={load}>
          Now
        </button>
      </p>
    </>
  );
}

/** A titled part of the settings. */
export function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="panel form" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** A button for what cannot be taken back: the first press asks, the second one does it. */
export function Sure({ label, onSure }: { label: string; onSure: () => void }) {
  const isAsked = useSignal(false);
  return (
    <button
      type="button"
      class="danger"
      onBlur={() => {
        isAsked.value = false;
      }}
      onClick={() => {
        if (isAsked.value) onSure();
        isAsked.value = !isAsked.value;
      }}
    >
      <span aria-live="polite">{isAsked.value ? `Sure? ${label}` : label}</span>
    </button>
  );
}

/** A secret that is shown once. */
export function Once({ secret, what, close, children }: OnceProps) {
  return (
    <div class="once">
      <code>{secret}</code>
      <span class="actions">
        <button type="button" onClick={() => copyText(secret, what)}>
          Copy
        </button>
        <button type="button" onClick={close}>
          Done
        </button>
      </span>
      <span class="soft">Shown once.</span>
      {children}
    </div>
  );
}

interface OnceProps {
  secret: string;
  /** Names it, where it is copied. */
  what: string;
  close: () => void;
  children?: ComponentChildren;
}

/** Return what writes the text of a field into a signal. */
export function setter(text: Signal<string>): (value: string) => void {
  return (value) => {
    text.value = value;
  };
}

/** A short field that saves its text when it is left. */
export function Field({ label, value, save }: { label: string; value: string; save: (text: string) => void }) {
  return (
    <input
      class="short"
      aria-label={label}
      value={value}
      onChange={(event) => {
        if (event.currentTarget.value !== value) save(event.currentTarget.value);
      }}
    />
  );
}
