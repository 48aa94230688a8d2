"""What an admin key does on the dashboard: rules, keys, deletions; and the settings on a phone."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.dashboard.test_pages import settled
from tests.dashboard.test_states import asked
from tests.support.services.processes import ADMIN_KEY, get_json

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture
def rule(service):
    """A rule of the application."""
    (application,) = get_json(f"{service.query_url}/v1/me")["applications"]
    body = {"name": "Checkout", "application": application["id"], "metric": "error_rate", "threshold": 5}
    body |= {"include": ["route:/v1/checkout"], "direction": "above", "windowS": 300, "minimumRequests": 20}
    rule = asked(service.query_url, "POST", "/api/alerts", body)["alert"]
    yield rule
    request = urllib.request.Request(
        f"{service.query_url}/api/alerts/{rule['id']}", headers={"X-API-Key": ADMIN_KEY}, method="DELETE"
    )
    urllib.request.urlopen(request, timeout=30).close()


def fire(page):
    """Let the page see the rules as if each of them fired."""

    def answer(route):
        response = route.fetch()
        rules = response.json()
        for rule in rules["alerts"]:
            rule["state"] |= {"status": "firing", "lastValue": 29.1, "since": "2026-11-26T10:28:00Z"}
        route.fulfill(response=response, json=rules)

    page.route(re.compile(r"/api/alerts\?"), answer)


@pytest.mark.parametrize("screen", [{}, PHONE], ids=["desktop", "phone"])
def test_rules_that_fire_come_first_and_lead_to_their_requests(visit, rule, screen):
    looked = visit(**screen)
    fire(looked.page)
    page = looked.open("alerts")
    expect(page.get_by_role("tab", name="Firing 1")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tab", name="Rules 1")).to_be_visible()
    card = page.locator(".card")
    expect(card).to_contain_text("Checkout")
    expect(card).to_contain_text("error rate 29.1 % > 5 %")
    expect(card).to_contain_text("since 2026-11-26 10:28")
    expect(card.get_by_role("button", name="Pause")).to_have_count(0)
    settled(page)
    page.get_by_role("tab", name="Rules 1").click()
    expect(page.locator("tr[data-row]")).to_contain_text("route:/v1/checkout")
    page.go_back()
    card.get_by_role("link", name="Open").click()
    expect(page.locator("h1")).to_have_text("Overview")
    assert "is=route%3A%2Fv1%2Fcheckout" in page.url
    settled(page)


def test_an_admin_pauses_a_rule_that_fires_and_tests_its_address_in_the_editor(visit, admin_key, rule):
    looked = visit(admin_key, "admin")
    page = looked.open(f"alerts?tab=edit&rule={rule['id']}")
    expect(page.get_by_label("Name")).to_have_value("Checkout")
    page.get_by_role("button", name="Send a test").click()
    expect(
        page.locator("main").get_by_text(re.compile("no .*(address|webhook)|test failed", re.IGNORECASE)).first
    ).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    row = page.locator("tr[data-row]")
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    settled(page)
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_a_new_write_key_comes_with_the_line_for_a_framework(visit, admin_key):
    page = visit(admin_key, "admin").open("settings?tab=keys")
    page.get_by_label("New key").select_option("write")
    page.get_by_label("Name", exact=True).fill("for the line")
    page.get_by_role("button", name="Make").click()
    made = page.locator(".once")
    secret = made.locator("code").first.inner_text()
    assert secret.startswith("apimetry_w_")
    made.get_by_role("tab", name="Flask").click()
    expect(made.locator("pre")).to_contain_text(f'write_key="{secret}"')
    page.locator("tr", has_text="for the line").get_by_role("button", name="Revoke").click()
    expect(page.locator("tr", has_text="for the line")).to_have_count(0)


def test_a_deletion_says_how_many_requests_go_and_is_followed_to_its_end(visit, admin_key, service):
    application = asked(service.query_url, "POST", "/api/applications", {"name": "Doomed"})["application"]["id"]
    key = asked(service.query_url, "POST", "/api/keys", {"kind": "write", "application": application})["secret"]
    event = {"method": "GET", "url": "/", "status_code": 200, "response_us": 1}
    events = [{**event, "timestamp": time.time() - 60, "consumer_id": name} for name in ("acme", "acme", "globex")]
    asked(service.collector_url, "POST", "/1/event/", events, key)
    count = f"{service.query_url}/v1/summary?start=0&application={application}"
    service.wait_until(lambda: get_json(count, ADMIN_KEY)["requests"] == 3, "events")
    page = visit(admin_key, "admin").open(f"settings?tab=delete&app={application}")
    page.get_by_label("Consumer", exact=True).fill("acme")
    remove = page.get_by_role("button", name="Delete 2 requests")
    expect(remove).to_be_disabled()
    page.get_by_label("The same name again").fill("acme")
    remove.click()
    expect(page.get_by_text("The deletion of “acme” is done.")).to_be_visible()
    page.get_by_label("Every event of").select_option("range")
    page.get_by_label(re.compile("name, Doomed")).fill("Doomed")
    page.get_by_role("button", name="Delete 1 request").click()
    expect(page.get_by_text("The deletion of the range is done.")).to_be_visible()
    assert get_json(count, ADMIN_KEY)["requests"] == 0


def test_the_settings_of_a_phone_are_a_list_and_keys_are_cards(visit, admin_key):
    page = visit(admin_key, "admin", **PHONE).open("settings")
    page.locator("main").get_by_role("link", name="Keys").click()
    row = page.locator("tr[data-row]").first
    for name in ("Kind", "Name", "Application", "Last used", "Expires"):
        expect(row.locator(f"td[data-title='{name}']")).to_be_visible()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.locator("main").get_by_role("link", name="Settings").click()
    expect(page.locator("main").get_by_role("link", name="This browser")).to_be_visible()


def test_the_organization_says_in_words_what_its_plan_allows_and_what_is_used(visit, admin_key):
    page = visit(admin_key, "admin").open("settings?tab=organization")
    pairs = page.locator(".pairs")
    expect(pairs).to_contain_text(re.compile(r"Requests this month[\d,]+, no limit"))
    expect(pairs).to_contain_text(re.compile(r"Storage[\d.]+ [KMG]?B"))
    expect(pairs).to_contain_text("Kept for at mostno limit")
