/** The start of the page: the login, the wait for a first event, or the page that the address names. */

import { effect } from "@preact/signals";
import type { ComponentType } from "preact";
import { render } from "preact";
import type { Page } from "./address.ts";
import type { Me } from "./api/answers.ts";
import { ApiError, ask } from "./api/client.ts";
import { dropKeyFromAddress, sessionEnded, signInReason, takeLink } from "./api/sign_in.ts";
import { Alerts } from "./pages/Alerts.tsx";
import { Consumers } from "./pages/Consumers.tsx";
import { Errors } from "./pages/Errors.tsx";
import { Latency } from "./pages/Latency.tsx";
import { Login } from "./pages/Login.tsx";
import { Overview } from "./pages/Overview.tsx";
import { Quality } from "./pages/Quality.tsx";
import { Requests } from "./pages/Requests.tsx";
import { Routes } from "./pages/Routes.tsx";
import { applyAppearance, Settings } from "./pages/Settings.tsx";
import { Waiting } from "./pages/Waiting.tsx";
import { Frame } from "./parts/Frame.tsx";
import { Keys } from "./parts/Keys.tsx";
import { Boundary } from "./parts/States.tsx";
import { credential } from "./session.ts";
import { isShared } from "./shared.ts";
import { application, clockAheadS, isEmbedded, me, openShared, startState, view } from "./state.ts";

const PAGE_COMPONENTS: Record<Page, ComponentType> = {
  overview: Overview,
  routes: Routes,
  consumers: Consumers,
  errors: Errors,
  latency: Latency,
  requests: Requests,
  alerts: Alerts,
  quality: Quality,
  settings: Settings,
};

function App() {
  if (credential.value === null) return isEmbedded ? <Ended /> : <Login />;
  if (me.value === null) return null;
  const { page } = view.value;
  const Shown = PAGE_COMPONENTS[page];
  const isWaiting = application.value !== null && application.value.firstEventAt === null && !isShared.value;
  return (
    <>
      <Frame>
        <Boundary key={page}>{isWaiting && page !== "settings" ? <Waiting /> : <Shown />}</Boundary>
      </Frame>
      <Keys />
    </>
  );
}

/** What a frame shows without its link: no login, which pages of other sites must not frame. */
function Ended() {
  return (
    <main class="login" id="main">
      <p class="notice" role="status">
        {signInReason.value || "This link is not complete."}
      </p>
    </main>
  );
}

function followCredential(): void {
  let giveUp = new AbortController();
  effect(() => {
    giveUp.abort();
    giveUp = new AbortController();
    if (credential.value === null) {
      me.value = null;
      return;
    }
    ask<Me>("v1/me", giveUp.signal).then(
      (answer) => {
        clockAheadS.value = answer.now - Date.now() / 1000;
        // A key or a session in a link would sign its viewer in as somebody else.
        if (credential.value?.isLink && answer.fixed === null) {
          sessionEnded();
          return;
        }
        if (answer.fixed !== null) openShared(answer.fixed.range, answer.fixed.pages);
        me.value = answer;
      },
      (error: unknown) => {
        if (error instanceof ApiError && (error.status === 401 || error.status === 403)) sessionEnded();
        else if (error instanceof ApiError) setTimeout(followAgain, 2000);
      },
    );
  });
}

function followAgain(): void {
  if (credential.value !== null && me.value === null) credential.value = { ...credential.value };
}

applyAppearance();
takeLink();
dropKeyFromAddress();
startState();
followCredential();
const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
