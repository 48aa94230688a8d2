/** The login: a key is exchanged for a session at once; the first start's code works as well. */

import { useSignal } from "@preact/signals";
import { ApiError } from "../api/client.ts";
import { signInReason, signInWithCode, signInWithKey } from "../api/sign_in.ts";

/** Show the login. */
export function Login() {
  const secret = useSignal("");
  const stays = useSignal(false);
  const problem = useSignal("");
  const isAsking = useSignal(false);
  const enter = async () => {
    isAsking.value = true;
    problem.value = "";
    const text = secret.value.trim();
    try {
      // A sign-in code has eight letters and digits; a key is longer and has underscores.
      await (/^[A-Za-z0-9]{8}$/.test(text) ? signInWithCode(text) : signInWithKey(text, stays.value));
      secret.value = "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      problem.value = error.message;
    } finally {
      isAsking.value = false;
    }
  };
  return (
    <main class="login" id="main">
      <h1>apimetry</h1>
      {signInReason.value !== "" && (
        <p class="notice" role="status">
          {signInReason.value}
        </p>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          enter();
        }}
      >
        <label>
          Read or admin key, or the code that <code>apimetry serve</code> printed
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            required
            value={secret.value}
            onInput={(event) => {
              secret.value = event.currentTarget.value;
            }}
          />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={stays.value}
            onChange={(event) => {
              stays.value = event.currentTarget.checked;
            }}
          />
          Stay signed in on this browser for 30 days (read keys only)
        </label>
        <button type="submit" class="primary" disabled={isAsking.value}>
          Sign in
        </button>
        {problem.value !== "" && (
          <p class="notice" role="alert">
            {problem.value}
          </p>
        )}
      </form>
      <p class="soft">
        The keys are in <code>apimetry-data/keys.json</code> of a local start; <code>apimetry keys show</code> prints
        them. The API is described at <a href="docs">/docs</a>.
      </p>
    </main>
  );
}
