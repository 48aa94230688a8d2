/** Ask for an admin key: it is held in memory for 15 minutes, and never stored. */

import { useSignal } from "@preact/signals";
import type { Me } from "../api/answers.ts";
import { ApiError, change } from "../api/client.ts";
import { unlockSettings } from "../session.ts";

/** Show the field for an admin key. */
export function Unlock() {
  const key = useSignal("");
  const problem = useSignal("");
  const enter = async () => {
    try {
      const answer = await change<Me>("GET", "v1/me", undefined, key.value.trim());
      if (answer.kind === "admin") unlockSettings(key.value.trim());
      else problem.value = "This is not an admin key.";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.value = error.status === 401 ? "This key is not valid." : error.message;
    }
  };
  return (
    <section class="panel form" aria-label="Admin key">
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          enter();
        }}
      >
        <label class="grow">
          This needs an admin key. It is forgotten after 15 minutes.
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            required
            value={key.value}
            onInput={(event) => {
              key.value = event.currentTarget.value;
            }}
          />
        </label>
        <button type="submit" class="primary">
          Enter
        </button>
      </form>
      {problem.value !== "" && (
        <p class="notice" role="alert">
          {problem.value}
        </p>
      )}
    </section>
  );
}
