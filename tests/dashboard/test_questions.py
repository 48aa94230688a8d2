"""When the page asks: no questions that nobody waits for, none in a hidden tab; keys and addresses."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.dashboard.conftest import last_hours
from tests.dashboard.test_pages import PAGES
from tests.dashboard.test_states import ANSWERS, Gate
from tests.support.browser import settled

BECOME = """state => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_another_range_gives_the_old_questions_up(visit):
    looked, gate = visit(), Gate()
    page = looked.open("settings?tab=browser")
    page.route(ANSWERS, gate.pass_on)
    gate.close()
    with page.expect_request(re.compile("/1/timeseries/")) as old:
        looked.open(f"errors?{last_hours(24)}&vs=none")
    with page.expect_event("requestfailed", lambda request: request == old.value):
        page.get_by_role("button", name="7d", exact=True).click()
    gate.forget()
    gate.open()
    page.keyboard.press("r")
    expect(page.locator("tr[data-row]").first).to_be_visible()
    settled(page)


def test_a_hidden_tab_refreshes_nothing_until_it_is_seen(visit):
    looked = visit()
    asked = []
    looked.page.on("request", lambda request: asked.append(request.url) if "/v1/breakdown" in request.url else None)
    looked.page.clock.install()
    page = looked.open("errors?range=24h&vs=none")
    page.evaluate(BECOME, "hidden")
    settled(page)
    known = set(asked)
    page.clock.fast_forward(600_000)
    with page.expect_request(re.compile("/v1/breakdown")):
        page.evaluate(BECOME, "visible")
    settled(page)
    ends = {re.search(r"end=(\d+)", url)[1] for url in set(asked) - known}
    assert len(ends) == 1


def test_a_hidden_tab_tries_again_once_it_is_seen(visit):
    looked = visit()
    page = looked.page
    page.clock.install()
    tried = []

    def refuse(route):
        tried.append(route.request.url)
        route.fulfill(status=503, json={"message": "no"})

    page.route(ANSWERS, refuse)
    looked.open("errors?range=7d&vs=none")
    expect(page.locator(".panel").first).to_contain_text("Trying again")
    page.evaluate(BECOME, "hidden")
    settled(page)
    tried.clear()
    page.clock.run_for(60_000)
    assert tried == []
    page.unroute(ANSWERS)
    page.evaluate(BECOME, "visible")
    expect(page.get_by_text("Not reachable")).to_have_count(0)
    settled(page)
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_back_shows_the_answers_of_before_at_once(visit):
    looked, gate = visit(), Gate()
    page = looked.open("routes?range=7d")
    settled(page)
    page.get_by_role("link", name="Errors").click()
    settled(page)
    page.route(ANSWERS, gate.pass_on)
    gate.close()
    page.go_back()
    expect(page.locator("h1")).to_have_text("Routes")
    expect(page.locator("tr[data-row]").first).to_be_visible()
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)
    gate.open()
    settled(page)


def test_an_address_stays_as_it_is_on_every_page(visit):
    looked = visit()
    shared = "range=7d&vs=none&is=method%3APOST&not=status_code%3A404&has=url%3Av1&slow=1..9000&tz=Europe%2FBerlin"
    for path in (*PAGES, "routes?route=%2Fv1%2Fcheckout", "consumers?consumer=acme-prod"):
        name, _, own = path.partition("?")
        address = f"{name}?{shared}{'&' if own else ''}{own}"
        page = looked.open(address)
        settled(page)
        page.get_by_role("button", name="30d", exact=True).click()
        expect(page).to_have_url(f"{looked.base_url}/{address.replace('7d', '30d')}")
        page.go_back()
        expect(page).to_have_url(f"{looked.base_url}/{address}")
        expect(page.locator(".chip")).to_have_count(4)
        expect(page.get_by_role("button", name="7d", exact=True)).to_have_attribute("aria-pressed", "true")


def test_every_key_works_on_every_page(visit):
    looked = visit(timezone_id="Europe/Berlin", permissions=["clipboard-read", "clipboard-write"])
    for path, title in PAGES.items():
        page = looked.open(path)
        settled(page)
        for key, name in {"f": "Add a filter", "t": "Range", "?": "Keys", "Control+k": "Go to"}.items():
            page.keyboard.press(key)
            expect(page.get_by_role("dialog", name=name)).to_be_visible()
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
        for key, text in (("c", "vs="), ("z", "tz="), ("[", "start=")):
            page.keyboard.press(key)
            expect(page).to_have_url(re.compile(text))
        page.keyboard.press(".")
        expect(page.get_by_text("Link copied")).to_be_visible()
        searches, rows = page.locator("input[type=search]"), page.locator("tr[data-row]")
        settled(page)
        if rows.count() > 0:
            page.keyboard.press("j")
            expect(rows.first).to_be_focused()
        page.keyboard.press("d")
        page.keyboard.press("r")
        settled(page)
        page.keyboard.press("/")
        if searches.count() > 0:
            expect(searches.first).to_be_focused()
        expect(page.locator("h1")).to_have_text(title)
