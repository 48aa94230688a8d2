"""What pages say while answers are slow or fail; days of 23 and 25 hours; from an alert to its requests."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from apimetry.query_api.alerting.links import link_of
from apimetry.store.alerts.records import AlertEvent, AlertRule, Metric, Transition
from tests.dashboard.conftest import FORGOTTEN, last_hours, send
from tests.dashboard.test_pages import DETAILS, PAGES, asked
from tests.support.browser import address_has, settled
from tests.support.services.processes import ADMIN_KEY, get_json

WITH_PANELS = [*(path for path in PAGES if not path.startswith("settings")), *DETAILS]
# Their panels are about senders and rules.
WITHOUT_REQUESTS = ("alerts", "quality")
TABS = ("applications", "keys", "organization", "links", "sessions")
ANSWERS = re.compile(r"/(v1/(?!me\b)|1/timeseries/|api/alerts)")
OVER_TIME = re.compile("/1/timeseries/")
DAY, HOUR = 86_400, 3600


def failing(route):
    route.fulfill(status=500, json={"error": "Internal Server Error", "message": "The store is upside down"})


class Gate:
    """Holds requests while it is closed."""

    def __init__(self):
        self._is_closed, self._held = False, []

    def pass_on(self, route):
        if self._is_closed:
            self._held.append(route)
        else:
            route.continue_()

    def close(self):
        self._is_closed = True

    def forget(self):
        """Forget what is held: the page has given it up."""
        self._held.clear()

    def open(self):
        self._is_closed = False
        while self._held:
            self._held.pop().continue_()


def test_every_page_says_that_its_answers_failed_and_shows_them_when_they_come(visit):
    looked = visit()
    page = looked.open("settings?tab=browser")
    for path in WITH_PANELS:
        page.route(ANSWERS, failing)
        looked.open(path)
        expect(page.get_by_text("The store is upside down").first).to_be_visible()
        expect(page.get_by_text("This panel failed")).to_have_count(0)
        page.unroute(ANSWERS)
        page.get_by_role("button", name="Now", exact=True).first.click()
        expect(page.get_by_text("The store is upside down")).to_have_count(0)
        settled(page)
    # Chromium itself names each request that fails.
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_every_page_says_that_it_still_asks_and_shows_the_answers_when_they_come(visit):
    looked, gate = visit(), Gate()
    page = looked.open("settings?tab=browser")
    page.clock.install()
    page.route(ANSWERS, gate.pass_on)
    for path in WITH_PANELS:
        gate.close()
        looked.open(path)
        expect(page.locator("[aria-busy=true]").first).to_be_visible()
        page.clock.fast_forward(6000)
        expect(page.get_by_text("Still asking.").first).to_be_visible()
        expect(page.locator("h1")).to_be_visible()
        gate.open()
        expect(page.get_by_text("Still asking.")).to_have_count(0)
        settled(page)


def also(path, query):
    return f"{path}{'&' if '?' in path else '?'}{query}"


def test_every_page_says_that_nothing_is_there_or_that_nothing_passes(visit):
    looked = visit()
    for query, words in (
        ("start=1413295200&end=1413298800", "No requests between|No request failed in this range"),
        ("is=method%3ANOPE&vs=none", "No request passes these filters|No request that passes these filters failed"),
    ):
        for path in WITH_PANELS:
            page = looked.open(also(path.replace("&range=7d", ""), query))
            settled(page)
            expect(page.get_by_text("This panel failed")).to_have_count(0)
            expect(page.locator("main .skeleton, main .plot, main tr[data-row]")).to_have_count(0)
            if path not in WITHOUT_REQUESTS:
                expect(page.locator("main .state").get_by_text(re.compile(words)).first).to_be_visible()
            for tile in page.locator("main .tile", has_text="Error rate").all():
                expect(tile).to_have_text(re.compile("^Error rate\u2013$"))


def test_a_page_of_one_route_or_consumer_counts_and_dates_its_own_requests(visit, service):
    consumer = {"include": "consumer_id:acme-prod", "start": int(time.time()) - DAY}
    requests = get_json(f"{service.query_url}/v1/summary?{urlencode(consumer)}")["requests"]
    page = visit().open("consumers?consumer=acme-prod&is=method%3ANOPE")
    settled(page)
    words = page.get_by_text(re.compile("Without “method is NOPE” there are")).first
    counted = int(re.search(r"there are ([\d,]+)", words.inner_text())[1].replace(",", ""))
    assert abs(counted - requests) < requests / 10
    page = visit().open(f"routes?route={FORGOTTEN}")
    settled(page)
    expect(page.get_by_text("The last one was at").first).to_be_visible()
    page.get_by_role("button", name="Go there").first.click()
    settled(page)
    expect(page.locator(".tile", has_text="Requests").first).to_contain_text(re.compile(r"Requests3\D"))
    expect(page.get_by_text("No request failed in this range.").first).to_be_visible()


def test_every_tab_of_the_settings_says_that_it_asks_and_why_it_has_no_answer(visit, admin_key):
    looked, gate, management = visit(admin_key, "admin"), Gate(), re.compile("/api/")
    page = looked.open("settings?tab=browser")
    for tab in TABS:
        page.route(management, failing)
        looked.open(f"settings?tab={tab}")
        expect(page.get_by_role("alert").first).to_contain_text("The store is upside down")
        page.unroute(management)
        page.route(management, gate.pass_on)
        gate.close()
        page.get_by_role("button", name="Now", exact=True).click()
        expect(page.locator("main .skeleton")).to_be_visible()
        gate.open()
        settled(page)
        expect(page.locator("main .skeleton")).to_have_count(0)
        page.unroute(management)
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_every_page_of_an_application_without_events_waits_for_the_first(visit, admin_key, service):
    body = {"name": "Nothing yet"}
    application = asked(service.query_url, "POST", "/api/applications", body)["application"]["id"]
    looked = visit(admin_key, "admin")
    for path in WITH_PANELS:
        page = looked.open(also(path, f"app={application}"))
        expect(page.get_by_text("Waiting for the first event.")).to_be_visible()


def test_a_question_that_takes_long_can_be_stopped_and_asked_again(visit):
    looked, gate = visit(), Gate()
    page = looked.open("settings?tab=browser")
    page.clock.install()
    page.route(OVER_TIME, gate.pass_on)
    gate.close()
    # The panel is busy before its request is sent, which four others may keep waiting.
    with page.expect_request(OVER_TIME) as sent:
        looked.open(f"requests?{last_hours(168)}")
    panel = page.locator(".panel", has_text="Requests over time")
    page.clock.fast_forward(6000)
    with page.expect_event("requestfailed", lambda request: request == sent.value):
        panel.get_by_role("button", name="Stop").click()
    gate.forget()
    gate.open()
    asked_again(page, panel)


def test_a_question_that_waits_for_its_turn_can_be_stopped_and_is_not_asked(visit):
    looked, gate, sent = visit(), Gate(), []
    page = looked.open("settings?tab=browser")
    settled(page)
    page.clock.install()
    page.route(re.compile("/(v1|1|api)/"), gate.pass_on)
    page.on("request", lambda request: sent.append(request.url) if OVER_TIME.search(request.url) else None)
    gate.close()
    looked.open(f"requests?{last_hours(168)}")
    panel = page.locator(".panel", has_text="Requests over time")
    expect(panel).to_have_attribute("aria-busy", "true")
    page.clock.fast_forward(6000)
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_contain_text("Stopped.")
    gate.open()
    settled(page)
    assert sent == []
    asked_again(page, panel)


def asked_again(page, panel):
    """Ask a question again that was stopped."""
    expect(panel).to_contain_text("Stopped.")
    expect(panel).to_have_attribute("aria-busy", "false")
    expect(panel.locator(".skeleton")).to_have_count(0)
    panel.get_by_role("button", name="Ask again").click()
    expect(panel.locator(".plot")).to_be_visible()
    expect(panel.get_by_text("Stopped.")).to_have_count(0)
    settled(page)


def test_a_service_that_is_away_is_asked_again_after_seconds_that_are_counted(visit):
    looked = visit()
    page = looked.open("settings?tab=browser")
    page.clock.install()
    page.route(ANSWERS, lambda route: route.fulfill(status=503, json={"message": "no"}, headers={"Retry-After": "9"}))
    looked.open("errors?range=7d")
    panel = page.locator(".panel").first
    expect(panel).to_contain_text("Not reachable. Trying again in")
    # It asks once more; then no time passes but the test's. The answer comes within half a second of that time.
    with page.expect_event("requestfinished", lambda request: OVER_TIME.search(request.url)):
        page.clock.pause_at(page.evaluate("Date.now() / 1000 + 60"))
        page.clock.run_for(500)
    expect(panel).to_contain_text("Trying again in 9 s.")
    page.clock.run_for(5000)
    expect(panel).to_contain_text("Trying again in 4 s.")
    page.unroute(ANSWERS)
    page.clock.run_for(5000)
    page.clock.resume()
    expect(panel.get_by_text("Not reachable")).to_have_count(0)
    settled(page)
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_a_clock_that_runs_a_little_ahead_asks_for_no_time_that_the_service_has_not_reached(visit):
    looked = visit()
    page = looked.page
    whole = int(time.time()) // 10 * 10 - 20
    page.clock.set_fixed_time(whole + 0.5)
    page.route(re.compile("/v1/me"), lambda route: answer_with(route, now=whole - 1))
    with page.expect_request(re.compile("/v1/summary")) as asked_for:
        looked.open("?range=1h&vs=none")
    assert f"end={whole - 10}" in asked_for.value.url


def answer_with(route, **members):
    response = route.fetch()
    route.fulfill(response=response, json={**response.json(), **members})


def test_an_answer_that_breaks_off_is_asked_for_again(visit):
    looked = visit()
    page = looked.open("settings?tab=browser")
    # The stand-in ends the connection within the body, which Playwright cannot: so the page's own fetch does.
    page.add_init_script(
        """
        const ask = fetch;
        let broken = false;
        window.fetch = async (...asked) => {
          const response = await ask(...asked);
          if (broken || !String(asked[0]).includes("/v1/breakdown")) return response;
          broken = true;
          await response.body.cancel();
          const body = new ReadableStream({ pull: (controller) => controller.error(new TypeError("network error")) });
          return new Response(body, response);
        };
        """
    )
    looked.open("errors?range=7d")
    expect(page.locator("table.rows").first).to_be_visible()
    settled(page)


def test_an_alert_leads_to_its_requests_in_two_clicks(visit, service):
    (application,) = get_json(f"{service.query_url}/v1/me")["applications"]
    fired = datetime.fromtimestamp(int(time.time()) - 6300, timezone.utc)
    include = ("route:/v1/alerted",)
    rule = AlertRule("r", "o", application["id"], "Checkout", Metric.error_rate, fired, "whsec", include=include)
    event = AlertEvent("e", "r", "o", application["id"], 1, Transition.firing, fired, fired, 30.0, 5.0)
    link = link_of(service.query_url, rule, event)
    at = [fired.timestamp() - 600 - number for number in range(100)]
    request = {"method": "POST", "url": "/v1/alerted", "route": "/v1/alerted", "response_us": 1}
    failed = {**request, "status_code": 502, "error_type": "UpstreamError"}
    send(service.collector_url, [{**failed, "timestamp": time_s} for time_s in at])
    send(service.collector_url, [{**request, "status_code": 200, "timestamp": time_s - 1800} for time_s in at])
    count = f"{service.query_url}/v1/summary?start=0&include=route:/v1/alerted"
    service.wait_until(lambda: get_json(count)["requests"] == 200, "events")
    page = visit().open(link.removeprefix(f"{service.query_url}/"))
    page.get_by_role("link", name="Explain this change").click()
    causes = page.locator(".panel", has_text="What changed")
    first = causes.locator("tr[data-row] a").first
    expect(first).to_contain_text("status 502")
    first.click()
    expect(page.locator("h1")).to_have_text("Requests")
    settled(page)
    address_has(page, "is=route%3A%2Fv1%2Falerted")
    expect(page.locator("tr[data-row]").first).to_contain_text("502")


@pytest.fixture(scope="module")
def long_kept(service):
    """An application with a request in every hour of two turns of the clocks of Berlin."""
    created = asked(service.query_url, "POST", "/api/applications", {"name": "Long", "retentionDays": 3650})
    application = created["application"]["id"]
    key = asked(service.query_url, "POST", "/api/keys", {"kind": "write", "application": application})
    times = [
        start + hour * HOUR + 60 for start in (seconds("2025-03-29"), seconds("2025-10-25")) for hour in range(72)
    ]
    events = [{"timestamp": at, "method": "GET", "url": "/", "status_code": 200, "response_us": 1} for at in times]
    answer = asked(service.collector_url, "POST", "/1/event/", events, key["secret"])
    assert answer["rejected"] == 0
    count = f"{service.query_url}/v1/summary?start=0&application={application}"
    service.wait_until(lambda: get_json(count, ADMIN_KEY)["requests"] == len(events), "events")
    return application


def seconds(day):
    return int(datetime.fromisoformat(day).replace(tzinfo=timezone.utc).timestamp())


@pytest.mark.parametrize(("day", "hours"), [("2025-03-30", 23), ("2025-10-26", 25)])
def test_a_day_on_which_the_clocks_change_has_all_of_its_hours(visit, admin_key, long_kept, day, hours):
    start = seconds(day) - 45 * DAY
    looked = visit(admin_key, "admin")
    page = looked.open(f"?app={long_kept}&start={start}&end={start + 90 * DAY}&tz=Europe%2FBerlin&vs=none")
    panel = page.locator(".panel", has_text="Requests by status")
    panel.get_by_role("button", name="Table").click()
    row = panel.locator("tr", has_text=day)
    expect(row).to_have_count(1)
    expect(row.locator("td").last).to_have_text(str(hours))
    settled(page)


def test_too_many_points_are_answered_with_a_coarser_step(visit):
    looked = visit()
    page = looked.open("settings?tab=browser")

    def refuse(route):
        if "granularity=3600" in route.request.url:
            route.fulfill(status=400, json={"message": "The answer would have 99999 points"})
        else:
            route.continue_()

    page.route(re.compile("/1/timeseries/.*group=status_class"), refuse)
    looked.open("?range=7d&vs=none")
    panel = page.locator(".panel", has_text="Requests by status")
    expect(panel).to_contain_text("The answer would have 99999 points")
    expect(panel.get_by_role("button", name="Shorter")).to_be_visible()
    panel.locator(".state").get_by_role("button", name="Coarser").click()
    expect(panel.locator(".plot")).to_be_visible()
    settled(page)
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_a_question_that_the_key_may_not_ask_leads_to_another_key(visit):
    looked = visit()
    page = looked.open("settings?tab=browser")
    refused = {"message": "Only Admin keys can look at this"}
    page.route(re.compile("/v1/quality"), lambda route: route.fulfill(status=403, json=refused))
    looked.open("quality")
    page.get_by_role("button", name="Sign in with another key").first.click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_no_failure_under_filters_is_said_to_be_under_filters(visit):
    page = visit().open("errors?is=route:/nowhere&range=7d&vs=none")
    expect(page.get_by_text("No request that passes these filters failed in this range.").first).to_be_visible()
    settled(page)


def test_consumers_show_once_a_request_names_one(visit):
    looked = visit()
    named = False

    def answer(route):
        response = route.fetch()
        me = response.json()
        for application in me["applications"]:
            application["recorded"]["consumers"] = named
        route.fulfill(response=response, json=me)

    looked.page.route(re.compile("/v1/me"), answer)
    page = looked.open("consumers")
    expect(page.get_by_text("No request names its consumer")).to_be_visible()
    settled(page)
    named = True
    page.keyboard.press("r")
    expect(page.get_by_text("No request names its consumer")).to_have_count(0)
    expect(page.locator("tr[data-row]").first).to_be_visible()
    settled(page)
