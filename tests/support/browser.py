"""A real Chromium that looks at a real `apimetry serve`. It fails a test on what no page may do.

`APIMETRY_TEST_CHROMIUM` names the browser; else it is Debian's, the one without windows first: it takes 30 % less
time. Without one, the tests of the dashboard are skipped by name; with `APIMETRY_TEST_REQUIRE_CHROMIUM=1`, as in CI,
they fail.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect, sync_playwright

_OF_DEBIAN = [Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium")]
_INSTALLED = next((path for path in _OF_DEBIAN if path.exists()), _OF_DEBIAN[0])
CHROMIUM = Path(os.environ.get("APIMETRY_TEST_CHROMIUM", _INSTALLED))
IS_REQUIRED = os.environ.get("APIMETRY_TEST_REQUIRE_CHROMIUM") == "1"
SCREENS = os.environ.get("APIMETRY_TEST_SCREENS")
"""A folder for screenshots; without it, none is kept."""

# What is expected may come late on a busy machine.
PATIENCE_MS = 100_000

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Reports of the policy are events of the page: they are kept for the test.
_NOTE_REPORTS = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
# Counts the questions whose answers the page has not read yet. Some answers it never reads, and a stream of live
# requests has no end.
_COUNT_QUESTIONS = """{
  const ask = fetch;
  window.questionsAsked = 0;
  window.mostAskedAtOnce = 0;
  window.fetch = async (...asked) => {
    if (String(asked[0]).includes("/v1/events/live")) return ask(...asked);
    let isAsked = true;
    let isRead = false;
    const end = () => {
      window.questionsAsked -= isAsked ? 1 : 0;
      isAsked = false;
    };
    window.questionsAsked += 1;
    window.mostAskedAtOnce = Math.max(window.mostAskedAtOnce, window.questionsAsked);
    try {
      const response = await ask(...asked);
      for (const name of ["text", "blob"]) {
        const read = response[name].bind(response);
        response[name] = () => {
          isRead = true;
          return read().finally(end);
        };
      }
      const unread = () => isRead || end();
      response.clone().arrayBuffer().then(unread, unread);
      return response;
    } catch (error) {
      end();
      throw error;
    }
  };
}"""
# What was pressed shows in the next frame; what that asks, or brings into view to ask, a frame or two later.
_SETTLED = """async () => {
  const isQuiet = () =>
    window.questionsAsked === 0 && document.querySelector("#main") && !document.querySelector("[aria-busy=true]");
  for (let quiet = 0; quiet < 6; ) {
    await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
    quiet = isQuiet() ? quiet + 1 : 0;
  }
  return true;
}"""


@contextmanager
def running_chromium():
    """Run one browser for many pages."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
        yield browser
        browser.close()


def address_has(page, text):
    """Expect a text in the page's address, of which Playwright hears some time after a key or a click."""
    expect(page).to_have_url(re.compile(re.escape(text)))


def address_lacks(page, text):
    """Expect a text to be gone from the page's address."""
    expect(page).not_to_have_url(re.compile(re.escape(text)))


def settled(page):
    """Wait until the page of a visit shows what was pressed, and has all answers."""
    page.wait_for_function(_SETTLED)


class Visit:
    """A page in a context of its own, signed in with a key. `problems` must be empty when the test ends."""

    def __init__(self, browser, base_url, key, kind="read", **context_options):
        self.base_url = base_url
        self.problems = []
        options = {"viewport": {"width": 1440, "height": 1000}, "timezone_id": "UTC", **context_options}
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(_NOTE_REPORTS)
        self.context.add_init_script(_COUNT_QUESTIONS)
        if key is not None:
            session = json.dumps({"secret": key, "kind": kind})
            self.context.add_init_script(f"sessionStorage.setItem('apimetry.session', {json.dumps(session)})")
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._request)

    def open(self, path=""):
        """Go to a path below the root, and return the page."""
        self.page.goto(f"{self.base_url}/{path}")
        return self.page

    def close(self):
        self.context.close()
        assert self.problems == [], self.problems

    def keep_screen(self, name):
        if SCREENS:
            Path(SCREENS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SCREENS}/{name}.png")

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _request(self, request):
        if urlsplit(request.url).scheme not in ("blob", "data") and not request.url.startswith(self.base_url):
            self.problems.append(f"request to another origin: {request.url}")
