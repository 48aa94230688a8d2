"""What a person does with the dashboard: sign in, keys, ranges, addresses; and what it says when things fail."""

from __future__ import annotations

import json
import re
import time
from urllib.error import HTTPError

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import send
from tests.dashboard.test_pages import PAGES
from tests.support import browser as browsers
from tests.support.browser import address_has, address_lacks, settled
from tests.support.services.keys import READ_KEY, UNKNOWN_READ_KEY, WRITE_KEY
from tests.support.services.processes import APPLICATION, BOOTSTRAP, get_json, running, wait_for_total

MONTH_MINUTES = 43_200
# How many pixels of a chart have nearly a token's colour, in its left half and in its right one.
PAINTED = """(plot, token) => {
  const canvas = plot.querySelector("canvas");
  const probe = document.createElement("i");
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const counts = [0, 0];
  for (let at = 0; at < data.length; at += 4) {
    // Thin lines are blended with what is below them.
    const apart = [0, 1, 2].reduce((sum, part) => sum + Math.abs(data[at + part] - colour[part]), 0);
    if (data[at + 3] > 0 && apart < 90) counts[(at / 4) % width < width / 2 ? 0 : 1] += 1;
  }
  return counts;
}"""
GO = dict(
    zip(
        ("Overview", "Routes", "Consumers", "Errors", "Latency", "Requests", "Alerts", "Data quality", "Settings"),
        "orcelqads",
        strict=True,
    )
)


def test_a_key_opens_a_session_and_signing_out_ends_it(visit, service):
    looked = visit(key=None)
    page = looked.open()
    page.get_by_label("Read or admin key").fill(READ_KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    settled(page)
    address_lacks(page, READ_KEY)
    session = page.evaluate("sessionStorage.getItem('apimetry.session')")
    token = json.loads(session)["secret"]
    assert token.startswith("apimetry_t_")
    assert READ_KEY not in session
    assert get_json(f"{service.query_url}/v1/me", token)["kind"] == "read"
    assert page.context.cookies() == []
    with page.expect_response(lambda response: response.request.method == "DELETE") as ended:
        page.get_by_role("button", name="Sign out").click()
    assert ended.value.status == 204
    with pytest.raises(HTTPError, match="401"):
        get_json(f"{service.query_url}/v1/me", token)
    expect(page.get_by_label("Read or admin key")).to_be_visible()
    assert (
        page.evaluate(
            "sessionStorage.length + [...Object.keys(localStorage)].filter((k) => k.includes('session')).length"
        )
        == 0
    )


@pytest.mark.parametrize(("key", "words"), [(UNKNOWN_READ_KEY, "not valid"), (WRITE_KEY, "write key")])
def test_a_key_that_may_not_look_is_refused_with_the_reason(visit, key, words):
    looked = visit(key=None)
    page = looked.open()
    page.get_by_label("Read or admin key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text(words)
    # The browser writes each refused answer to its console.
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_a_key_in_the_address_is_removed_unread(visit):
    page = visit(key=None).open(f"routes?range=7d&key={READ_KEY}")
    expect(page.get_by_role("status")).to_contain_text("removed and not used")
    address_lacks(page, "key=")
    address_has(page, "routes?range=7d")
    assert page.evaluate("sessionStorage.length") == 0


def test_g_and_a_letter_go_to_every_page_and_back_returns(visit):
    looked = visit()
    looked.page.clock.install()
    page = looked.open("?range=7d")
    settled(page)
    for title, letter in GO.items():
        # The page waits a moment for the letter: no time passes until a busy machine has pressed it.
        page.clock.pause_at(page.evaluate("Date.now() / 1000 + 60"))
        page.keyboard.press("g")
        page.keyboard.press(letter)
        page.clock.resume()
        expect(page.locator("h1")).to_have_text(title)
        settled(page)
    for title in reversed(list(GO)[1:-1]):
        page.go_back()
        expect(page.locator("h1")).to_have_text(title)


def test_keys_add_a_filter_choose_a_range_and_show_their_list(visit):
    page = visit().open("?range=7d")
    settled(page)
    page.keyboard.press("f")
    dialog = page.get_by_role("dialog", name="Add a filter")
    dialog.get_by_label("Value").fill("/v1/check")
    dialog.get_by_role("button", name="/v1/checkout").click()
    expect(page.locator(".chip")).to_contain_text("route is /v1/checkout")
    page.keyboard.press("Escape")
    expect(page.locator(".chip")).to_have_count(0)
    page.keyboard.press("t")
    page.get_by_role("dialog", name="Range").get_by_role("button", name="Last 30 days").click()
    address_has(page, "range=30d")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Copy link")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    address_has(page, "vs=")
    page.keyboard.press("[")
    expect(page).to_have_url(re.compile(r"start=\d+&end=\d+"))
    settled(page)


def test_a_filter_takes_a_span_of_sizes_and_of_times(visit, service):
    page = visit().open("requests?range=24h")
    settled(page)
    for field, unit, span, kept, chip in (
        ("response bytes", "bytes", ("100", "2048"), "between=response_bytes%3A100..2048", "100 B to 2 KB"),
        ("first byte", "milliseconds", ("", "900"), "between=ttfb_us%3A..900000", "up to 900 ms"),
        ("response time", "milliseconds", ("1", "5000"), "slow=1..5000", "1 ms to 5.00 s"),
    ):
        page.keyboard.press("f")
        dialog = page.get_by_role("dialog", name="Add a filter")
        dialog.get_by_label("Field").select_option(field)
        dialog.get_by_label(f"To, in {unit}").fill("0")
        dialog.get_by_label(f"From, in {unit}").fill("7")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("the smaller one first")
        for label, number in zip(("From", "To"), span, strict=True):
            dialog.get_by_label(f"{label}, in {unit}").fill(number)
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        address_has(page, kept)
        expect(page.locator(".chip", has_text=chip)).to_be_visible()
    settled(page)
    expect(page.locator("tr[data-row]").first).to_be_visible()


def test_the_palette_finds_pages_routes_and_consumers(visit):
    page = visit().open("?range=7d")
    settled(page)
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name=re.compile("Page, route"))
    box.fill("acme")
    expect(page.get_by_role("option", name=re.compile("acme-prod"))).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("acme-prod")
    settled(page)


def test_arrows_walk_a_chart_and_enter_zooms(visit):
    page = visit().open("?range=24h")
    settled(page)
    plot = page.get_by_role("img", name=re.compile(r"Requests by status.*, highest [\d,]+ at \d{4}-"))
    plot.focus()
    page.keyboard.press("End")
    expect(page.locator("[aria-live=polite]")).to_contain_text("2xx")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"start=\d+&end=\d+"))
    settled(page)


def test_charts_of_a_month_by_the_minute_are_drawn_and_walked(visit):
    looked = visit()
    end = int(time.time()) // 60 * 60
    times = [end - 60 * (MONTH_MINUTES - number) for number in range(MONTH_MINUTES)]
    answers = {
        "status_class": {"2xx": [[at, 50] for at in times], "5xx": [[at, 7] for at in times]},
        "percentile_50": {APPLICATION: [[at, 1000, 2000, 3000] for at in times]},
        "aggregation=consumers": {APPLICATION: [[at, 5] for at in times]},
    }

    def answer(route):
        groups = next((groups for name, groups in answers.items() if name in route.request.url), None)
        if groups is None:
            route.continue_()
            return
        route.fulfill(json={"groups": groups, "start": times[0], "end": end, "granularity": 60})

    looked.page.route("**/1/timeseries/**", answer)
    page = looked.open("?range=30d")
    settled(page)
    for name, colour, words in (
        ("Requests by status", "--status-2xx", "5xx 7, 2xx 50"),
        ("Response time", "--p95", "p50 1 ms, p95 2 ms, p99 3 ms"),
    ):
        plot = page.get_by_role("img", name=re.compile(name))
        plot.focus()
        page.keyboard.press("Home")
        expect(page.locator("[aria-live=polite]")).to_contain_text(words)
        assert min(plot.evaluate(PAINTED, colour)) > 0


def test_an_address_that_cannot_be_read_shows_the_rest_and_says_which_part(visit):
    page = visit().open("routes?range=2h&is=colour%3Ared&is=method%3AGET")
    expect(page.get_by_role("alert")).to_contain_text("range=2h; is=colour:red")
    expect(page.locator(".chip")).to_contain_text("method is GET")
    settled(page)


def test_a_filter_that_nothing_passes_says_so_and_can_be_removed(visit):
    page = visit().open("?range=7d&is=method%3AGET&is=route%3A%2Fnowhere")
    settled(page)
    words = page.get_by_text(re.compile("No request passes these filters. Without “route is /nowhere” there are"))
    expect(words.first).to_be_visible()
    page.get_by_role("button", name="Remove route is /nowhere").first.click()
    expect(page.locator(".chip")).to_have_count(1)
    settled(page)


def test_a_range_without_requests_says_when_the_last_one_was(visit):
    page = visit().open("?start=1413295200&end=1413298800")
    settled(page)
    expect(page.get_by_text("The last one was at").first).to_be_visible()
    page.get_by_role("button", name="Go there").first.click()
    settled(page)
    expect(page.get_by_text("The last one was at")).to_have_count(0)


def test_settings_need_an_admin_key_and_make_a_key_that_is_shown_once(visit, admin_key):
    page = visit().open("settings?tab=keys")
    page.get_by_label("This needs an admin key").fill(admin_key)
    page.get_by_role("button", name="Enter").click()
    page.get_by_label("Name", exact=True).fill("for the test")
    page.get_by_role("button", name="Make").click()
    expect(page.locator(".once code")).to_contain_text("apimetry_r_")
    row = page.locator("tr", has_text="for the test")
    row.get_by_role("button", name="Revoke").click()
    row.get_by_role("button", name="Sure? Revoke").click()
    expect(row).to_have_count(0)
    page.reload()
    expect(page.get_by_label("This needs an admin key")).to_be_visible()


def test_after_the_code_of_the_first_start_the_page_waits_for_an_event_and_then_shows_it(tmp_path, chromium):
    from tests.dashboard.conftest import send

    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as serve:
        looked = browsers.Visit(chromium, serve.query_url, None)
        page = looked.open()
        code = serve.wait_until(lambda: re.search(r"^  sign-in code +(\w{8}) ", serve.output, re.MULTILINE), "a code")
        page.get_by_label("sign-in code").fill(f"{code[1][:4]} {code[1][4:].lower()}")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Waiting for the first event.")).to_be_visible()
        expect(page.locator("pre")).to_contain_text("ASGIMiddleware")
        page.get_by_role("tab", name="Flask").click()
        expect(page.locator("pre")).to_contain_text("WSGIMiddleware")
        page.get_by_role("button", name="Make another one").click()
        expect(page.locator("pre")).to_contain_text(re.compile(r'write_key="apimetry_w_\w{20,}"'))
        fits = "pre => pre.scrollWidth <= pre.clientWidth"
        assert page.locator("pre").evaluate(fits)
        now = page.evaluate("Date.now() / 1000")
        send(
            serve.collector_url,
            [{"timestamp": now, "method": "GET", "url": "/hello", "status_code": 200, "response_us": 12_000}],
        )
        expect(page.get_by_text("Requests by status")).to_be_visible()
        # Nobody waits for the next refresh to see the first request: no tile ever says 0.
        expect(page.locator(".tile").first).to_contain_text(re.compile(r"Requests\s*\d"))
        assert re.search(r"Requests\s*1\b", page.locator(".tile").first.inner_text())
        first = page.get_by_text("First event: GET /hello, 12 ms")
        expect(first).to_be_visible()
        settled(page)
        page.get_by_role("button", name="Close").click()
        expect(first).to_have_count(0)
        address_has(page, "range=15m")
        looked.open("?range=24h")
        expect(page.locator(".tile", has_text="Requests").first).to_contain_text(re.compile(r"Requests\s*1\b"))
        page.get_by_role("link", name="Show the last 15 minutes").click()
        expect(page.get_by_text("The first request came at")).to_have_count(0)
        address_has(page, "range=15m")
        settled(page)
        looked.close()


def test_a_service_that_is_away_leaves_the_old_numbers_and_says_so(tmp_path, chromium):
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as serve:
        event = {"timestamp": time.time() - 30, "method": "GET", "url": "/hello", "status_code": 200}
        send(serve.collector_url, [{**event, "response_us": 12_000}])
        wait_for_total(serve, serve.query_url, 1)
        looked = browsers.Visit(chromium, serve.query_url, READ_KEY)
        page = looked.open("?range=1h")
        expect(page.locator(".tile", has_text="Requests").first).to_contain_text("1")
        settled(page)
        assert looked.problems == []
        assert serve.stop() == 0
        page.keyboard.press("r")
        expect(page.get_by_text("Not reachable").first).to_be_visible()
        expect(page.locator(".badge")).to_have_text("not known now")
        expect(page.locator(".tile", has_text="Requests").first).to_contain_text("1")
        # The page asks again until it is closed. Chromium itself names each request that fails.
        looked.context.close()
        assert [text for text in looked.problems if "Failed to load resource" not in text] == []


def test_every_page_is_named_in_the_tests():
    assert set(PAGES.values()) == set(GO)
