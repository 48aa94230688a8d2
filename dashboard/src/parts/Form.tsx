/** What forms share: a field for text, and what the service refused. */

import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client.ts";

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
    }
  };
  return { problem, run };
}

/** Show what the service refused, if it refused something. */
export function Problem({ text }: { text: string }) {
  return text === "" ? null : (
    <p class="notice" role="alert">
      {text}
    </p>
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
