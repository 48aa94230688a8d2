"""What pages say while answers are slow or fail; days of 23 and 25 hours; from an alert to its requests."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from datetime import datetime, timezone

import pytest
from playwright.sync_api import expect

from apimetry.query_api.alerting.links import link_of
from apimetry.store.alerts.records import AlertEvent, AlertRule, Metric, Transition
from tests.dashboard.conftest import send
from tests.dashboard.test_pages import PAGES, settled
from tests.support.services.processes import ADMIN_KEY, get_json

WITH_PANELS = [path for path in PAGES if not path.startswith("settings")]
ANSWERS = re.compile(r"/(v1/(?!me\b)|1/timeseries/|api/alerts)")
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


def test_a_question_that_takes_long_can_be_stopped_and_asked_again(visit):
    looked, gate = visit(), Gate()
    page = looked.open("settings?tab=browser")
    page.clock.install()
    page.route(re.compile("/1/timeseries/"), gate.pass_on)
    gate.close()
    looked.open("requests?range=7d")
    panel = page.locator(".panel", has_text="Requests over time")
    expect(panel).to_have_attribute("aria-busy", "true")
    page.clock.fast_forward(6000)
    with page.expect_event("requestfailed") as failed:
        panel.get_by_role("button", name="Stop").click()
    assert "/1/timeseries/" in failed.value.url
    expect(panel).to_contain_text("Stopped.")
    expect(panel).to_have_attribute("aria-busy", "false")
    expect(panel.locator(".skeleton")).to_have_count(0)
    gate.forget()
    gate.open()
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
    expect(panel).to_contain_text("Not reachable. Trying again in 9 s.")
    page.clock.run_for(5000)
    expect(panel).to_contain_text("Trying again in 4 s.")
    page.unroute(ANSWERS)
    page.clock.run_for(5000)
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
    assert "is=route%3A%2Fv1%2Falerted" in page.url
    expect(page.locator("tr[data-row]").first).to_contain_text("502")


def asked(service, method, path, body, key=ADMIN_KEY):
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{service}{path}", json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


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
