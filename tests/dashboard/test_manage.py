"""What an admin key does on the dashboard: rules, keys, deletions; and the settings on a phone."""

from __future__ import annotations

import re
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import pytest
from playwright.sync_api import expect

from tests.dashboard.test_pages import asked
from tests.support.browser import address_has, settled
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


def fire(page, value=29.104166666666668):
    """Let the page see the rules as if each of them fired; `value` is what was measured last."""

    def answer(route):
        response = route.fetch()
        rules = response.json()
        for rule in rules["alerts"]:
            rule["state"] |= {"status": "firing", "lastValue": value, "since": "2026-11-26T10:28:00Z"}
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
    if screen:
        # A phone's rail has no room for the page of alerts, yet says that a rule fires.
        expect(page.get_by_role("button", name="More").locator(".count")).to_have_text("1")
    expect(card).to_contain_text("Checkout")
    expect(card).to_contain_text("error rate 29.1 % > 5 %")
    expect(card).to_contain_text("since 2026-11-26 10:28")
    expect(card.get_by_role("button", name="Pause")).to_have_count(0)
    settled(page)
    page.get_by_role("tab", name="Rules 1").click()
    expect(page.locator("tr[data-row]")).to_contain_text("route:/v1/checkout")
    expect(page.locator("tr[data-row]")).to_contain_text("29.1 %")
    page.go_back()
    card.get_by_role("link", name="Overview").click()
    expect(page.locator("h1")).to_have_text("Overview")
    address_has(page, "is=route%3A%2Fv1%2Fcheckout")
    settled(page)
    page.go_back()
    card.get_by_role("link", name="Requests").click()
    expect(page.locator("h1")).to_have_text("Requests")
    address_has(page, "is=route%3A%2Fv1%2Fcheckout&is=status_class%3A4xx&is=status_class%3A5xx")
    settled(page)


def test_a_rule_that_fires_on_without_requests_says_why(visit, rule):
    looked = visit()
    fire(looked.page, None)
    page = looked.open("alerts")
    expect(page.locator(".card")).to_contain_text("error rate > 5 % over 5 min; too few requests now")


def test_an_alert_of_the_past_leads_to_the_requests_before_it(visit, rule):
    looked = visit()
    alert = {"id": "9b", "alert": rule["id"], "name": "Checkout", "kind": "resolved", "at": "2026-11-26T10:28:00Z"}
    alert |= {"value": 1.0, "threshold": 5.0, "delivery": "none"}
    answer = {"events": [alert, {**alert, "id": "9c", "alert": "deleted"}], "next": None}
    looked.page.route(re.compile("/v1/alert-events"), lambda route: route.fulfill(json=answer))
    page = looked.open("alerts?tab=history")
    expect(page.locator("tr[data-row]")).to_have_count(2)
    page.locator("tr[data-row]").get_by_role("link", name="Requests").click()
    expect(page.locator("h1")).to_have_text("Requests")
    at = 1795688880
    address_has(page, f"start={at - 1800}&end={at}")
    settled(page)
    page = looked.open("")
    page.locator("tr[data-row]", has_text="resolved").get_by_role("link", name="Checkout").first.click()
    expect(page.get_by_text("2026-11-26 09:58 to 2026-11-26 10:28")).to_be_visible()
    address_has(page, f"start={at - 1800}&end={at}")


@pytest.mark.parametrize("kind", ["admin", "read"])
def test_everybody_is_told_when_every_collector_is_silent(visit, admin_key, kind):
    looked = visit(admin_key, "admin") if kind == "admin" else visit()
    collectors = {"known": 2, "silent": 2, "lastReport": "2026-11-26T10:28:00Z", "oldestSegmentS": None}

    def answer(route):
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "collectors": collectors})

    looked.page.route(re.compile("/v1/quality"), answer)
    page = looked.open("")
    notice = page.get_by_text("No collector has reported since 2026-11-26 10:28")
    expect(notice).to_be_visible()
    settled(page)
    page = looked.open("quality")
    lag = page.locator(".tile", has_text="Collector lag")
    expect(lag).to_contain_text(re.compile("\u2013no collector reports"))
    settled(page)
    collectors |= {"silent": 1, "oldestSegmentS": 75.0}
    page.keyboard.press("r")
    expect(notice).to_have_count(0)
    expect(lag).to_contain_text(re.compile(r"75\ss1 of 2 collectors silent"))


def test_a_rule_is_tried_before_it_has_a_name(visit, admin_key):
    page = visit(admin_key, "admin").open("alerts?tab=edit")
    page.get_by_role("button", name="Would it have fired?").click()
    expect(page.get_by_text("in the last 7 days")).to_be_visible()
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


def test_a_new_rule_shows_the_secret_of_its_webhook_once_and_has_all_filters_of_the_page(visit, admin_key, service):
    page = visit(admin_key, "admin").open("alerts?tab=edit&is=method%3APOST&has=route%3Acheck&slow=250..2000")
    page.get_by_label("Name").fill("With a webhook")
    page.get_by_label("Webhook").fill("https://hooks.example.com/apimetry")
    expect(page.get_by_text("method:POST, has route:check, response time is 250 ms to 2.00 s")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    secret = page.locator(".once code")
    expect(secret).to_contain_text("whsec_")
    first = secret.inner_text()
    page.get_by_role("button", name="Done").click()
    row = page.locator("tr[data-row]", has_text="With a webhook")
    expect(row).to_contain_text("response time is 250 ms to 2.00 s")
    row.get_by_role("link", name="Requests").click()
    address_has(page, "has=route%3Acheck")
    address_has(page, "slow=250..2000")
    page.go_back()
    row.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="New secret").click()
    expect(secret).to_contain_text("whsec_")
    assert secret.inner_text() != first
    page.get_by_role("button", name="Done").click()
    row.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Webhook")).to_have_value("https://hooks.example.com/apimetry")
    page.get_by_label("Webhook").fill("")
    page.get_by_role("button", name="Save").click()
    row.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Name")).to_have_value("With a webhook")
    expect(page.get_by_label("Webhook")).to_have_value("")
    expect(page.get_by_role("button", name="New secret")).to_have_count(0)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Sure? Delete").click()
    expect(page.get_by_role("button", name="New rule")).to_be_visible()
    expect(row).to_have_count(0)


def test_a_rule_keeps_its_key_of_pagerduty_until_another_is_entered(visit, admin_key, service):
    page = visit(admin_key, "admin").open("alerts?tab=edit&between=ttfb_us%3A1..900")
    expect(page.get_by_text("A rule cannot have the page's spans")).to_be_visible()
    page.get_by_label("Name").fill("Pages somebody")
    key = page.get_by_label("PagerDuty's integration key")
    expect(key).to_have_count(0)
    page.get_by_label("Webhook").fill("https://events.pagerduty.com/v2/enqueue")
    # Whether it would have fired is asked without telling anybody.
    page.get_by_role("button", name="Would it have fired?").click()
    expect(page.get_by_text("in the last 7 days")).to_be_visible()
    key.fill("R" * 32)
    page.get_by_role("button", name="Save").click()
    row = page.locator("tr[data-row]", has_text="Pages somebody")
    row.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Webhook")).to_have_value("https://events.pagerduty.com/v2/enqueue")
    expect(key).to_have_value("")
    page.get_by_label("Name").fill("Pages somebody else")
    page.get_by_role("button", name="Save").click()
    page.locator("tr[data-row]", has_text="Pages somebody else").get_by_role("link", name="Edit").click()
    page.get_by_label("Webhook").fill("https://hooks.slack.com/services/x")
    expect(key).to_have_count(0)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("tr[data-row]", has_text="Pages somebody else")).to_be_visible()
    rules = asked(service.query_url, "GET", "/api/alerts", key=admin_key)["alerts"]
    (rule,) = (rule for rule in rules if rule["name"] == "Pages somebody else")
    assert (rule["channel"], rule["routingKey"]) == ("slack", None)
    asked(service.query_url, "DELETE", f"/api/alerts/{rule['id']}", key=admin_key)


def test_a_reader_with_an_admin_key_keeps_the_address_of_the_rule_that_is_edited(visit, admin_key, rule, service):
    url = "https://hooks.example.com/kept"
    asked(service.query_url, "PATCH", f"/api/alerts/{rule['id']}", {"webhookUrl": url})
    page = visit().open(f"alerts?tab=edit&rule={rule['id']}")
    page.get_by_label("This needs an admin key").fill(admin_key)
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_label("Webhook")).to_have_value(url)
    page.get_by_label("Name").fill("Renamed")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("tr[data-row]")).to_contain_text("Renamed")
    changed = get_json(f"{service.query_url}/api/alerts/{rule['id']}", ADMIN_KEY)["alert"]
    assert changed["webhookUrl"] == url


def test_a_change_under_a_session_that_has_ended_leads_to_the_login(visit, admin_key):
    looked = visit(admin_key, "admin")
    page = looked.open("settings?tab=keys")
    expect(page.locator("tr[data-row]").first).to_be_visible()
    page.route(re.compile("/api/keys"), lambda route: route.fulfill(status=401, json={"message": "no"}))
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_text("This session has ended. Sign in again.")).to_be_visible()
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_a_list_of_many_rules_shows_all_of_them_by_the_hundred(visit, rule):
    looked = visit()

    def answer(route):
        response = route.fetch()
        (known,) = response.json()["alerts"]
        rules = [{**known, "id": f"r{number}", "name": f"Rule {number}"} for number in range(230)]
        route.fulfill(response=response, json={"alerts": rules})

    looked.page.route(re.compile(r"/api/alerts\?"), answer)
    page = looked.open("alerts?tab=rules")
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="100 more of 230").click()
    expect(rows).to_have_count(200)
    page.get_by_role("button", name="30 more of 230").click()
    expect(rows.last).to_contain_text("Rule 229")
    settled(page)


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
    row = page.locator("tr", has_text="for the line")
    expect(row.locator("[data-title=Application]")).to_have_text("shop")
    row.get_by_role("button", name="Revoke").click()
    page.keyboard.press("Tab")
    row.get_by_role("button", name="Revoke", exact=True).click()
    row.get_by_role("button", name="Sure? Revoke").click()
    expect(row).to_have_count(0)


def test_a_rotated_key_says_when_it_ends(visit, admin_key):
    page = visit(admin_key, "admin").open("settings?tab=keys")
    page.get_by_label("Name", exact=True).fill("for the end")
    page.get_by_role("button", name="Make").click()
    row = page.locator("tr", has_text="for the end")
    expect(row.locator("[data-title=Expires]")).to_have_text("\u2013")
    began = datetime.now(timezone.utc)
    row.get_by_role("button", name="Rotate").click()
    expect(row).to_have_count(2)
    ends = {f"{at + timedelta(days=1):%Y-%m-%d}" for at in (began, datetime.now(timezone.utc))}
    expect(row.locator("[data-title=Expires]", has_text=re.compile("|".join(ends)))).to_have_count(1)
    for left in (1, 0):
        row.first.get_by_role("button", name="Revoke").click()
        row.first.get_by_role("button", name="Sure? Revoke").click()
        expect(row).to_have_count(left)


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
