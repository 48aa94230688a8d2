"""The page of single requests: two lines on a phone, columns, one request by its address, and live."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

from playwright.sync_api import expect

from tests.dashboard.conftest import send
from tests.support.browser import address_has, address_lacks, settled
from tests.support.services.processes import get_json

OVER_TIME = re.compile("/1/timeseries/")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


def store_one(service, route, **fields):
    """Send a request of two minutes ago, which any range up to now has, and wait until it is stored."""
    count = f"{service.query_url}/v1/summary?start=0&include=route:{quote(route)}"
    before = get_json(count)["requests"]
    event = {"timestamp": time.time() - 120, "method": "GET", "status_code": 200, "response_us": 100}
    send(service.collector_url, [{**event, "route": route, **fields}])
    service.wait_until(lambda: get_json(count)["requests"] == before + 1, "the event")


def test_a_phone_shows_each_request_in_two_lines_and_its_details_as_a_page(visit):
    looked = visit(**PHONE)
    page = looked.open("requests?range=7d&is=route%3A%2Fv1%2Fcheckout")
    settled(page)
    rows = page.locator("tr[data-row]")
    lines = rows.first.locator("p")
    expect(lines).to_have_count(2)
    expect(lines.first).to_have_text(re.compile(r"^\d{3} POST /v1/checkout$"))
    expect(lines.last).to_have_text(re.compile(r"\d\d:\d\d:\d\d · [\d.]+\s\w+ · .+"))
    for row in rows.all():
        assert [line.bounding_box()["height"] < 30 for line in row.locator("p").all()] == [True, True]
    # A tap on a value opens the request, too.
    lines.first.tap(position={"x": 80, "y": 10})
    expect(page.locator(".details")).to_contain_text("user_agent")
    expect(rows).to_have_count(0)
    settled(page)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.get_by_role("button", name="All requests").click()
    expect(rows.first).to_be_visible()
    page.go_back()
    expect(page.locator(".details")).to_be_visible()
    settled(page)


def test_the_address_of_one_request_shows_it_wherever_it_stands(visit, service):
    now = int(time.time())
    (oldest,) = get_json(f"{service.query_url}/v1/events?start=0&end={now}&order=asc&limit=1")["events"]
    page = visit().open(f"requests?range=7d&event={oldest['id']}")
    settled(page)
    panel = page.get_by_role("region", name="Request", exact=True)
    expect(panel.locator(".details")).to_contain_text(oldest["route"])
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    address_lacks(page, "event=")
    page.locator("tr[data-row]").first.get_by_role("button", name="Details").click()
    expect(page.locator("tr.detail .details")).to_be_visible()
    expect(panel).to_have_count(0)
    settled(page)


def test_columns_are_chosen_and_stand_in_the_address(visit):
    page = visit().open("requests?range=7d")
    settled(page)
    header = page.locator("table.rows thead")
    expect(header).not_to_contain_text("URL")
    page.locator("summary", has_text="Columns").click()
    page.get_by_role("checkbox", name="url").check()
    page.get_by_role("checkbox", name="version").uncheck()
    expect(header).to_contain_text("URL")
    expect(header).not_to_contain_text("Version")
    page.reload()
    settled(page)
    expect(header).to_contain_text("URL")
    expect(header).not_to_contain_text("Version")


def test_older_pages_stay_open_through_a_refresh_until_the_newest_are_asked_for(visit):
    looked = visit()
    looked.page.clock.install()
    page = looked.open("requests?range=24h")
    settled(page)
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Load more").click()
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Load more").click()
    expect(rows).to_have_count(150)
    with page.expect_request(OVER_TIME):
        page.clock.fast_forward(61_000)
    settled(page)
    expect(rows).to_have_count(150)
    page.get_by_role("button", name="Newest").click()
    expect(rows).to_have_count(50)
    expect(page.locator(".foot")).to_contain_text(re.compile(r"^50 of [\d,]+ requests"))
    settled(page)


def test_the_list_stays_under_the_pointer_until_it_leaves(visit, service):
    looked = visit()
    page = looked.open("settings?tab=browser")
    page.clock.install()
    looked.open("requests?range=24h&is=route%3A%2Fread")
    settled(page)
    rows = page.locator("tr[data-row]")
    store_one(service, "/read", url="/read")
    page.get_by_role("button", name="Refresh").click()
    expect(rows).to_have_count(1)
    rows.first.hover()
    store_one(service, "/read", url="/read")
    # An answer to the button's question may still be on its way.
    with page.expect_request(OVER_TIME) as asked:
        page.clock.fast_forward(61_000)
    answer = asked.value.response().json()
    assert sum(count or 0 for line in answer["groups"].values() for _, count in line) == 2
    settled(page)
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name="Newest")).to_be_visible()
    page.locator("h1").hover()
    expect(rows).to_have_count(2)
    settled(page)


def test_a_click_on_a_row_opens_its_request_and_a_click_on_a_value_filters(visit):
    page = visit().open("requests")
    row = page.locator("tr[data-row]").first
    row.locator("[data-title=Duration]").click()
    expect(page.locator("tr.detail")).to_have_count(1)
    address_has(page, "event=")
    row.locator("[data-title=Duration]").click()
    expect(page.locator("tr.detail")).to_have_count(0)
    row.locator("[data-title=Route] button").click()
    page.wait_for_url(re.compile("is=route"))
    address_lacks(page, "event=")


def test_a_request_without_a_route_shows_its_path_and_what_it_does_not_have(visit, service):
    store_one(service, "(unmatched)", url="/lost/7")
    page = visit().open("requests?range=15m&is=url:/lost/7")
    row = page.locator("tr[data-row]")
    expect(row).to_contain_text("(unmatched) /lost/7")
    row.get_by_role("button", name="Details").click()
    details = page.locator("tr.detail")
    expect(details).to_contain_text("(none)")
    expect(details).to_contain_text("(no version)")
    expect(details.get_by_role("button", name="Same consumer")).to_have_count(0)
    settled(page)


def test_x_leaves_out_the_route_of_the_row(visit):
    page = visit().open("requests?range=7d&is=method%3APOST")
    settled(page)
    page.keyboard.press("j")
    expect(page.locator("tr[data-row]").first).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator(".chip", has_text="route is not")).to_have_count(1)
    settled(page)


def opened_live(looked, query=""):
    """The page of live requests, whose stream is open: before that, it sees none."""
    with looked.page.expect_response(re.compile("/v1/events/live")):
        page = looked.open(f"requests?live=1{query}")
    expect(page.get_by_text("Requests appear here as they arrive.")).to_be_visible()
    return page


def test_live_requests_wait_while_the_pointer_is_in_the_table(visit, service):
    page = opened_live(visit(), "&is=route%3A%2Fv1%2Flive")
    request = {"method": "GET", "url": "/v1/live", "route": "/v1/live", "status_code": 200, "response_us": 1}
    rows = page.locator("tr[data-row]")
    send(service.collector_url, [{**request, "timestamp": time.time()}])
    expect(rows).to_have_count(1)
    rows.first.hover()
    send(service.collector_url, [{**request, "timestamp": time.time()}])
    expect(page.get_by_text("Paused, 1 new.")).to_be_visible()
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Resume").hover()
    expect(rows).to_have_count(2)


def test_one_live_request_opens_and_the_others_stay_closed(visit, service):
    page = opened_live(visit(), "&is=route%3A%2Fv1%2Fopened")
    request = {
        "method": "GET",
        "url": "/v1/opened",
        "route": "/v1/opened",
        "response_us": 1,
        "timestamp": time.time(),
    }
    send(service.collector_url, [{**request, "status_code": status} for status in (200, 404, 503)])
    expect(page.locator("tr[data-row]")).to_have_count(3)
    expect(page.locator("tr.detail")).to_have_count(0)
    page.locator("tr[data-row]", has_text="404").get_by_role("button", name="Details").click()
    expect(page.locator("tr.detail")).to_have_count(1)
    expect(page.locator("tr.detail")).to_contain_text("404")


def test_a_stream_that_comes_back_says_no_longer_that_it_is_away(visit):
    looked = visit()
    page = looked.open("settings?tab=browser")
    page.clock.install()
    live = re.compile("/v1/events/live")
    page.route(live, lambda route: route.fulfill(status=503, json={"message": "no"}))
    looked.open("requests?live=1&is=route%3A%2Fnowhere")
    expect(page.get_by_text("Not reachable. Trying again.")).to_be_visible()
    page.unroute(live)
    page.clock.fast_forward(2000)
    expect(page.get_by_text("Requests appear here as they arrive.")).to_be_visible()
    page.route(live, lambda route: route.fulfill(status=401, json={"message": "no"}))
    looked.open("requests?live=1")
    expect(page.get_by_text("This session has ended. Sign in again.")).to_be_visible()
    looked.problems = [text for text in looked.problems if "Failed to load resource" not in text]


def test_a_menu_closes_at_escape_and_at_a_press_beside_it(visit):
    page = visit().open("requests?is=method%3APOST")
    settled(page)
    menu = page.locator("details.menu")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("h1").click()):
        menu.locator("summary").click()
        page.get_by_role("checkbox", name="version").focus()
        close()
        expect(menu).not_to_have_attribute("open", "")
    expect(page.locator(".chip")).to_have_count(1)
    settled(page)


def test_the_detail_alone_has_a_long_text_whole(visit, service):
    url, note = "/" + "u" * 2047, "n" * 1024
    store_one(service, "/long", url=url, data={"note": note})
    page = visit().open("requests?range=15m&is=route:/long&columns=time,url")
    row = page.locator("tr[data-row]")
    expect(row).to_contain_text("uuu…uuu")
    row.get_by_role("button", name="Details").click()
    details = page.locator("tr.detail")
    expect(details).to_contain_text(url)
    expect(details.locator("ul")).to_contain_text(note)
    settled(page)


def test_a_hidden_tab_holds_no_stream_and_opens_it_again_when_it_is_seen(visit):
    page = opened_live(visit())
    become = """state => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda request: "/v1/events/live" in request.url):
        page.evaluate(become, "hidden")
    with page.expect_request(re.compile("/v1/events/live")):
        page.evaluate(become, "visible")


def test_a_refresh_leaves_the_focus_on_its_request_where_newer_ones_come_above_it(visit):
    looked = visit()
    page = looked.open("requests?range=7d")
    settled(page)
    rows = page.locator("tr[data-row]")
    page.keyboard.press("j")
    page.keyboard.press("j")
    words = rows.nth(1).inner_text()

    def newer(route):
        response = route.fetch()
        answer = response.json()
        answer["events"].insert(0, {**answer["events"][0], "id": "newer", "method": "PATCH"})
        route.fulfill(response=response, json=answer)

    page.route(re.compile(r"/v1/events\?"), newer)
    page.keyboard.press("r")
    expect(rows.first).to_contain_text("PATCH")
    assert page.evaluate("document.activeElement.innerText") == words
    settled(page)


def test_what_a_finger_presses_is_at_least_44_pixels_high(visit):
    page = visit(**PHONE).open("requests?range=7d&is=method%3APOST")
    settled(page)
    page.locator(".bar-summary").click()
    # The values in the two lines of a request are words of a text; the row has a button of its own.
    pressed = page.locator("button:visible:not(.two-lines button), select:visible, .rail a:visible, summary:visible")
    low = "elements => elements.filter((e) => e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)"
    assert pressed.evaluate_all(low) == []
    settled(page)
