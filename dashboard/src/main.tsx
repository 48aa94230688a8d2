/** The start of the page: the login, the wait for a first event, or the page that the address names. */

import { effect } from "@preact/signals";
import type { ComponentType } from "preact";
import { render } from "preact";
import type { Page } from "./address.ts";
import { dropKeyFromAddress, signInReason, takeLink } from "./api/sign_in.ts";
import { askWho, showKnown } from "./api/who.ts";
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
import { application, isEmbedded, me, startState, view } from "./state.ts";

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
    showKnown();
    askWho(giveUp.signal, followAgain);
  });
}

function followAgain(): void {
  if (credential.value !== null) credential.value = { ...credential.value };
}

let started = false;
applyAppearance();
takeLink();
dropKeyFromAddress();
startState();
followCredential();
const stopWaiting = effect(() => {
  // What the HTML shows stays until there is something to show instead.
  if (credential.value !== null && me.value === null) return;
  queueMicrotask(() => {
    stopWaiting();
    const root = document.getElementById("app");
    if (root === null || started) return;
    started = true;
    root.replaceChildren();
    render(<App />, root);
  });
});
