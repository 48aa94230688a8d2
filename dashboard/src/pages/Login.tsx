/** The login: a read or admin key, or the code of a start. */

import { useSignal } from "@preact/signals";
import { ApiError } from "../api/client.ts";
import { signInReason, signInWith } from "../api/sign_in.ts";

/** Show the login. */
export function Login() {
  const secret = useSignal("");
  const stays = useSignal(false);
  const problem = useSignal("");
  const isAsking = useSignal(false);
  const enter = async () => {
    isAsking.value = true;
    problem.value = "";
    try {
      await signInWith(secret.value.trim(), stays.value);
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
          Read or admin key, or sign-in code
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
        <code>apimetry serve</code> prints a sign-in code when it starts, good for ten minutes.{" "}
        <code>apimetry keys show</code> prints the first keys. The API is described at <a href="docs">/docs</a>.
      </p>
    </main>
  );
}
