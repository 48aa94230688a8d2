"""What is recorded, what collectors did with it, and counts that are made of samples."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.dashboard.test_contents import panel_named
from tests.dashboard.test_pages import asked
from tests.support.browser import settled
from tests.support.services.processes import ADMIN_KEY, get_json

WEIGHT = 7
NONE = "\u2013"


@pytest.fixture(scope="module")
def sampled(service):
    """An application whose ordinary requests are a sample, and whose errors are all recorded."""
    body = {"name": "Sampled", "limits": {"requestsPerMinute": 900}}
    application = asked(service.query_url, "POST", "/api/applications", body)["application"]["id"]
    key = asked(service.query_url, "POST", "/api/keys", {"kind": "write", "application": application})
    now = int(time.time())
    usual = {"method": "GET", "url": "/v1/items?page=***", "route": "/v1/items", "response_us": 1000}
    usual |= {"consumer_id": "acme", "client_ip": "192.0.2.0", "status_code": 200, "sample_weight": WEIGHT}
    failed = {**usual, "status_code": 500, "error_type": "Broken", "sample_weight": 1}
    events = [{**usual, "timestamp": now - 120 - number} for number in range(10)]
    events += [{**failed, "timestamp": now - 150 - number} for number in range(3)]
    assert asked(service.collector_url, "POST", "/1/event/", events, key["secret"])["rejected"] == 0
    count = f"{service.query_url}/v1/summary?start=0&application={application}"
    service.wait_until(lambda: get_json(count, ADMIN_KEY)["requests"] == 10 * WEIGHT + 3, "events")
    return application


@pytest.mark.parametrize("path", ["", "routes", "consumers", "requests", "routes?route=/v1/items"])
def test_counts_of_samples_have_a_sign_on_every_page(visit, admin_key, sampled, path):
    page = visit(admin_key, "admin").open(f"{path}{'&' if '?' in path else '?'}app={sampled}&range=1h&vs=none")
    expect(page.locator(".bar")).to_contain_text("≈ sampled")
    expect(page.locator("main")).to_contain_text("≈73")
    settled(page)
    expect(page.get_by_text(re.compile(r"(?<!≈)\b73\b"))).to_have_count(0)


def test_errors_that_are_all_recorded_have_no_sign(visit, admin_key, sampled):
    page = visit(admin_key, "admin").open(f"errors?app={sampled}&range=1h&vs=none")
    expect(page.locator(".bar")).to_contain_text(f"up to {WEIGHT} requests; errors are all there")
    expect(page.locator("tr[data-row]", has_text="Broken").first).to_contain_text("3")
    settled(page)
    expect(page.locator("main")).not_to_contain_text("≈")


def test_requests_behind_a_filter_for_errors_have_no_sign(visit, admin_key, sampled):
    page = visit(admin_key, "admin").open(f"requests?is=status_code:500&app={sampled}&range=1h&vs=none")
    expect(page.locator(".bar")).to_contain_text("≈ sampled")
    expect(page.locator(".foot").first).to_contain_text("3 of 3 requests")
    settled(page)


def test_requests_that_are_all_recorded_have_no_sign(visit):
    page = visit().open("?range=6h")
    settled(page)
    expect(page.locator(".tile .figure").first).to_contain_text(re.compile(r"\d"))
    expect(page.locator("body")).not_to_contain_text("≈")


def test_the_page_of_data_quality_says_what_is_recorded(visit, admin_key, sampled):
    looked = visit(admin_key, "admin")
    page = looked.open(f"quality?app={sampled}&range=1h")
    panel = page.locator(".panel", has=page.get_by_role("heading", name="What is recorded"))
    for text in (
        "in all, queries masked: names without values",
        "in all, truncated to networks",
        f"an event stands for up to {WEIGHT} requests; errors are all recorded",
        "User agentsnot recorded",
        "900 a minute",
        "requests this month",
    ):
        expect(panel).to_contain_text(text)
    settled(page)
    looked.keep_screen("quality-recorded")


@pytest.fixture
def collectors():
    """A collector that has a bit of everything, and one of an earlier version."""
    collector = {
        "id": "web-1",
        "version": "0.1.0",
        "lastReport": "2026-11-26T10:43:58Z",
        "segments": 3,
        "spoolBytes": 2 << 20,
        "spoolLimitBytes": 4 << 30,
        "spoolFreeBytes": 3 << 30,
        "oldestSegmentS": 75.0,
        "received": 20,
        "stored": 8,
        "rejected": {"timestamp_expired": 5},
        "rejectedAt": {"timestamp_expired": "2026-11-26T09:12:40Z"},
        "quarantined": 7,
        "quarantine": {"pieces": 2, "rows": 6, "newestReason": "the store rejected it: <b>code 117</b>"},
        "state": "behind",
    }
    earlier = {"rejectedAt": {}, "quarantine": None, "spoolFreeBytes": None}
    return [collector, {**collector, **earlier, "id": "old", "quarantined": 8}]


def test_collectors_show_their_spools_and_why_events_are_not_stored(visit, admin_key, collectors):
    looked = visit(admin_key, "admin")
    page = looked.page
    page.route(re.compile("/api/collectors"), lambda route: route.fulfill(json={"collectors": collectors}))
    looked.open("quality")
    spools = panel_named(page, "Spools").locator("tr[data-row]")
    expect(spools.first).to_contain_text(re.compile("web-1.*behind.*of 4.*3.*less than the spool may take.*75"))
    expect(spools.last).to_contain_text(re.compile(rf"old.*of 4\sGB{NONE}"))
    rejected = panel_named(page, "Rejected by collectors").locator("tr[data-row]")
    expect(rejected.first).to_contain_text(re.compile(r"timestamp_expired5.*2026-11-26 09:12.*web-1"))
    expect(rejected.last).to_have_text(f"timestamp_expired5{NONE}old")
    quarantine = panel_named(page, "Quarantine").locator("tr[data-row]")
    expect(quarantine.first).to_have_text("26the store rejected it: <b>code 117</b>7web-1")
    expect(quarantine.last).to_have_text(f"{NONE * 3}8old")
    settled(page)
    looked.keep_screen("quality-collectors")


def test_what_no_collector_reported_has_its_words(visit, admin_key):
    looked = visit(admin_key, "admin")
    page = looked.page
    page.route(re.compile("/api/collectors"), lambda route: route.fulfill(json={"collectors": []}))
    looked.open("quality")
    expect(panel_named(page, "Rejected by collectors")).to_contain_text("Nothing was rejected since")
    expect(panel_named(page, "Quarantine")).to_contain_text("Nothing is in quarantine.")
    expect(panel_named(page, "Spools")).to_contain_text("No collector has reported yet.")
    settled(page)


def test_a_phone_shows_the_share_and_the_senders_and_folds_the_rest(visit, admin_key, collectors):
    looked = visit(admin_key, "admin", viewport={"width": 390, "height": 844}, has_touch=True)
    page = looked.page
    page.route(re.compile("/api/collectors"), lambda route: route.fulfill(json={"collectors": collectors}))
    quality = {"captured": 100, "stored": 90, "lost": {"buffer_full": 7, "too_old": 3}}
    sender = {"instance": "web-2:41", "source": "web-2", "version": "2", "firstReport": "2026-11-26T10:00:00Z"}
    sender |= {**quality, "lastReport": "2026-11-26T10:28:00Z", "pending": 0, "state": "gone"}

    def answer(route):
        response = route.fetch()
        total = {**quality, "pending": 0, "share": 0.9}
        route.fulfill(response=response, json={**response.json(), "total": total, "senders": [sender]})

    page.route(re.compile("/v1/quality"), answer)
    looked.open("quality")
    share = page.locator(".tile", has_text="Stored of what was captured")
    expect(share.locator(".figure")).to_have_text("90 % stored")
    expect(page.locator(".tile", has_text="Lost").locator("li")).to_have_text(["buffer_full 7", "too_old 3"])
    first, second = panel_named(page, "Senders").locator("tr[data-row] p").all()
    expect(first).to_have_text("gone web-2:41")
    expect(second).to_have_text(re.compile("^100 captured · .*10:28 · lost: buffer_full 7, too_old 3$"))
    settled(page)
    assert share.bounding_box()["width"] > 300, "the share has a line of its own"
    expect(page.locator(".panel")).to_have_count(2)
    looked.keep_screen("phone-quality")
    fold = page.get_by_role("button", name="Over time, collectors, what is recorded")
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.tap()
    expect(panel_named(page, "Spools").locator("p").first).to_have_text("behind web-1")
    expect(panel_named(page, "Quarantine").locator("p").first).to_have_text("2 pieces, 6 rows · web-1")
    expect(panel_named(page, "Rejected by collectors").locator("p").first).to_have_text("5 timestamp_expired")
    expect(panel_named(page, "What is recorded")).to_be_visible()
    settled(page)
    looked.keep_screen("phone-quality-opened")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    fold.tap()
    expect(page.locator(".panel")).to_have_count(2)


def test_who_reads_enters_an_admin_key_to_see_collectors(visit, admin_key):
    page = visit().open("quality")
    settled(page)
    lag = page.locator(".tile", has_text="Collector lag")
    expect(lag).to_have_text(re.compile(r"(none|\d\s(ms|s))the oldest segment"))
    page.get_by_role("button", name="Enter one").click()
    page.get_by_label("This needs an admin key").fill(admin_key)
    page.get_by_role("button", name="Enter", exact=True).click()
    expect(panel_named(page, "Spools").locator("tbody tr").first).to_contain_text("ok")
    expect(lag).to_have_text(re.compile(r"(none|\d\s(ms|s))the oldest segment"))
    settled(page)


def test_who_looks_by_a_link_sees_that_counts_are_of_samples(visit, service, sampled):
    body = {"application": sampled, "name": "n", "range": "1h", "pages": ["overview"], "expiresS": 3600}
    path = asked(service.query_url, "POST", "/api/shares", body)["path"]
    page = visit(None).open(path.lstrip("/"))
    expect(page.locator(".bar")).to_contain_text("≈ sampled")
    expect(page.locator(".tile .figure").first).to_have_text("≈73")
    settled(page)
