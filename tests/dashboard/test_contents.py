"""What the pages say of the requests: tiles, routes, consumers, errors, latency; against the API's own answers."""

from __future__ import annotations

import csv
import json
import re
import urllib.request
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import FORGOTTEN, last_hours
from tests.dashboard.test_pages import rows_of_csv
from tests.support.browser import address_has, address_lacks, settled
from tests.support.services.keys import READ_KEY
from tests.support.services.processes import APPLICATION, get_json

SPAN = re.compile(r"start=(\d+)&end=(\d+)")


def asked(service, page, path, **parameters):
    """The API's answer about the span that the page shows: the newest that it asked about."""
    urls = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    spans = [found.groups() for url in urls if (found := SPAN.search(url))]
    start, end = max(spans, key=lambda span: int(span[1]))
    query = urlencode({"start": start, "end": end, **parameters})
    return get_json(f"{service.query_url}/{path}?{query}", READ_KEY)


def panel_named(page, title):
    return page.locator("main .panel").filter(has=page.get_by_role("heading", name=title, exact=True))


def test_each_tile_has_its_trend_and_consumers_say_how_many_are_new(visit, service):
    page = visit().open("?range=7d")
    settled(page)
    expect(page.locator(".tile")).to_have_count(5)
    expect(page.locator(".tile .spark")).to_have_count(5)
    # Requests without a consumer are new in the range, too, and are no consumer.
    new = asked(service, page, "v1/breakdown", by="consumer_id", having="new")["pagination"]["total"] - 1
    assert new > 0
    tile = page.locator(".tile", has_text="Consumers")
    tile.get_by_role("link", name=f"{new} new").click()
    expect(page.locator("h1")).to_have_text("Consumers")
    expect(page.get_by_role("tab", name=f"new {new}")).to_have_attribute("aria-selected", "true")
    settled(page)
    expect(panel_named(page, "Consumers").locator("tr[data-row]")).to_have_count(new)
    expect(panel_named(page, "Consumers")).not_to_contain_text("(none)")


# How many pixels of the chart have each colour of its legend.
PIXELS = """panel => {
  const canvas = panel.querySelector("canvas")
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  const counts = {}
  for (let at = 0; at < data.length; at += 4) {
    const colour = `rgb(${data[at]}, ${data[at + 1]}, ${data[at + 2]})`
    counts[colour] = (counts[colour] ?? 0) + 1
  }
  const entries = [...panel.querySelectorAll(".legend-entry")]
  return Object.fromEntries(entries.map(entry =>
    [entry.textContent.trim(), counts[getComputedStyle(entry.querySelector(".swatch")).color] ?? 0]))
}"""


def test_in_forced_colours_bars_keep_their_colours_and_errors_are_hatched(visit):
    counts = {}
    for forced in ("none", "active"):
        page = visit(forced_colors=forced).open("?range=6h&vs=none")
        settled(page)
        counts[forced] = panel_named(page, "Requests by status").evaluate(PIXELS)
    plain, hatched = counts["none"], counts["active"]
    assert min(plain.values()) > 0
    assert hatched["2xx"] > 0.9 * plain["2xx"]
    for status in ("4xx", "5xx"):
        assert 0 < hatched[status] < 0.9 * plain[status]


def test_percentiles_say_how_they_changed(visit):
    looked = visit()
    page = looked.open("latency?range=6h&vs=previous")
    settled(page)
    table = panel_named(page, "Percentiles").locator("table")
    expect(table.locator("th", has_text="Change")).to_be_visible()
    for name in ("p50", "p75", "p90", "p95", "p99", "max"):
        expect(table.locator("tr", has_text=name).locator(".change")).to_have_text(re.compile(r"\d|same"))
    page = looked.open("latency?range=6h&vs=none")
    settled(page)
    expect(panel_named(page, "Percentiles").locator("th", has_text="Change")).to_have_count(0)


def test_active_consumers_are_counted_over_time(visit, service):
    page = visit().open("consumers?range=24h&vs=none")
    settled(page)
    panel = panel_named(page, "Active consumers")
    header, *rows = rows_of_csv(page, panel)
    assert header.endswith('"returning","new"')
    most = max(sum(map(int, re.findall(r'"(\d+)"', row.partition(",")[2]))) for row in rows if row)
    total = asked(service, page, "v1/summary")["consumers"]
    assert 0 < most <= total


# Of a few hundred requests, two neighbours may differ by more than the buckets do.
@pytest.mark.parametrize("hours", [24, 168])
def test_a_consumer_stands_against_all_others(visit, service, hours):
    page = visit().open(f"consumers?consumer=acme-prod&{last_hours(hours)}")
    settled(page)
    _, *rows = rows_of_csv(page, panel_named(page, "Latency against all others"))
    shown = {
        name: (int(own), int(others)) for name, own, others in (re.findall(r'"([^"]*)"', row) for row in rows if row)
    }
    own = asked(service, page, "v1/latency", include="consumer_id:acme-prod")["percentiles"]
    others = asked(service, page, "v1/latency", exclude="consumer_id:acme-prod")["percentiles"]
    for level in own:
        assert shown[f"p{level}"] == (pytest.approx(own[level], rel=0.04), pytest.approx(others[level], rel=0.04))


def test_routes_of_earlier_without_requests_are_counted_and_listed(visit):
    page = visit().open("routes?range=24h")
    settled(page)
    panel = panel_named(page, "Routes")
    expect(panel).not_to_contain_text(FORGOTTEN)
    panel.get_by_role("link", name=re.compile(r"^\d+ without requests in this range$")).click()
    expect(panel.locator("tr", has_text=FORGOTTEN).locator("td").nth(1)).to_have_text("3")
    address_has(page, "show=unused")
    expect(panel).not_to_contain_text("/v1/checkout")


def test_routes_count_their_consumers(visit, service):
    page = visit().open(f"routes?{last_hours(24)}")
    settled(page)
    counted = asked(service, page, "v1/breakdown", by="route,method", measures="consumers")
    by_key = {tuple(row["key"]): row["consumers"] for row in counted["rows"]}
    row = panel_named(page, "Routes").locator("tr[data-row]", has_text="/v1/checkout").first
    assert by_key["/v1/checkout", "POST"] > 1
    expect(row.locator("td").nth(8)).to_have_text(str(by_key["/v1/checkout", "POST"]))


def test_a_kind_of_error_opens_from_the_overview_with_its_time_line(visit, service):
    page = visit().open(f"?{last_hours(6)}")
    settled(page)
    errors = panel_named(page, "Errors")
    errors.scroll_into_view_if_needed()
    row = errors.locator("tr[data-row]").first
    expect(row.locator("td")).to_have_count(5)
    expect(row.locator("td").nth(4)).to_have_text(re.compile(r"^\d+$"))
    kind = row.locator("td").first.inner_text()
    row.get_by_role("link", name=kind).first.click()
    expect(page.locator("h1")).to_have_text("Errors")
    settled(page)
    expect(page.locator("tr.open")).to_contain_text(kind)
    expect(page.locator("tr.detail .panel", has_text="Over time").locator(".plot")).to_be_visible()


def test_an_open_kind_of_error_stands_in_the_address(visit):
    page = visit().open("errors?range=24h")
    settled(page)
    row = panel_named(page, "Kinds of errors").locator("tr[data-row]", has_text="not_found")
    row.get_by_role("button", name="not_found").click()
    address_has(page, "kind=%7C404")
    page.reload()
    settled(page)
    detail = page.locator("tr.detail")
    expect(detail.locator(".panel", has_text="Versions")).to_be_visible()
    # All of them failed.
    expect(detail.locator("th", has_text="Err %")).to_have_count(0)
    row.get_by_role("button", name="not_found").click()
    expect(detail).to_have_count(0)
    address_lacks(page, "kind=")
    page.go_back()
    expect(detail).to_have_count(1)
    settled(page)


@pytest.mark.parametrize(("path", "title"), [("errors", "Errors over time"), ("consumers", "Requests by consumer")])
def test_the_step_of_a_chart_is_chosen(visit, path, title):
    page = visit().open(f"{path}?range=6h")
    settled(page)
    with page.expect_response(lambda response: "granularity=900" in response.url and "group=" in response.url):
        panel_named(page, title).get_by_role("button", name="Coarser").click()
    settled(page)


@pytest.mark.parametrize(("length", "words"), [("24h", r"^\d{4}-"), ("7d", r"^[A-Z][a-z]{2} \d{4}-")])
def test_a_point_of_more_than_two_days_has_its_weekday(visit, length, words):
    page = visit().open(f"?range={length}")
    settled(page)
    panel = panel_named(page, "Requests by status")
    panel.locator(".plot").focus()
    page.keyboard.press("ArrowLeft")
    expect(panel.locator(".legend-time")).to_have_text(re.compile(words))


def test_kinds_of_errors_have_one_row_over_all_their_routes(visit, service):
    page = visit().open(f"errors?{last_hours(24)}")
    settled(page)
    header, *rows = rows_of_csv(page, panel_named(page, "Kinds of errors"))
    assert header.startswith('"Kind","Error type","Status","Count"')
    table = list(csv.reader(rows))
    kinds = [tuple(row[1:3]) for row in table if row]
    assert len(kinds) == len(set(kinds)) > 5
    by_kind = asked(
        service, page, "v1/breakdown", by="error_type,status_code", include="status_code:502", measures="requests"
    )
    key, requests = by_kind["rows"][0]["key"], by_kind["rows"][0]["requests"]
    assert [key[0], *key, str(requests)] in [row[:4] for row in table]


def test_columns_of_routes_are_chosen_and_the_address_keeps_them(visit):
    page = visit().open("routes?range=24h")
    settled(page)
    panel = panel_named(page, "Routes")
    expect(panel.locator("th", has_text="p50")).to_be_visible()
    panel.locator("summary").click()
    panel.get_by_label("p50").click()
    expect(panel.locator("th", has_text="p50")).to_have_count(0)
    address_has(page, "columns=")
    page.reload()
    settled(page)
    expect(panel.locator("th", has_text="p95")).to_be_visible()
    expect(panel.locator("th", has_text="p50")).to_have_count(0)


@pytest.mark.parametrize(
    ("address", "panel"),
    [
        ("?range=6h", "Requests by status"),
        ("?range=6h", "Latency"),
        ("consumers?range=6h", "Requests by consumer"),
        ("requests?range=6h", "Requests over time"),
    ],
)
def test_a_deploy_in_a_chart_leads_to_before_and_after(visit, address, panel):
    page = visit().open(address)
    settled(page)
    plot = panel_named(page, panel).locator(".u-over")
    box = plot.bounding_box()
    # The deploy is two hours old.
    middle = int(box["width"] * 2 / 3)
    for x in range(middle - 40, middle + 40, 8):
        plot.click(position={"x": x, "y": 20})
        if page.evaluate("location.pathname").endswith("latency"):
            break
    expect(page.locator("h1")).to_have_text("Latency")
    expect(page.locator("main .actions select")).to_have_value("2.5.0")


@pytest.mark.parametrize("is_estimate", [False, True])
def test_percentiles_of_tables_say_whether_they_are_estimates(visit, is_estimate):
    def answered(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "estimated": is_estimate})

    looked = visit()
    looked.page.route("**/v1/breakdown?**", answered)
    page = looked.open("latency?range=6h")
    settled(page)
    for words in ("Time to the first byte", "Before and after"):
        titles = page.locator(".panel", has_text=words).locator("th", has_text="p95")
        expect(titles).to_have_text([re.compile(" ±2 %$" if is_estimate else "(?<! ±2 %)$")] * 2)
    for address, title in (("routes?range=6h", "Routes"), ("consumers?range=6h", "Consumers")):
        page = looked.open(address)
        settled(page)
        foot = panel_named(page, title).locator(".foot")
        expect(foot).to_contain_text(re.compile(r"\d (route|consumer)s"))
        assert ("percentiles ±2 %" in foot.inner_text()) == is_estimate


def test_errors_of_a_route_have_the_names_of_their_kinds(visit):
    page = visit().open("routes?route=%2Fv1%2Fcheckout&range=24h")
    settled(page)
    errors = panel_named(page, "Errors")
    expect(errors).to_contain_text("bad_request")
    expect(errors).not_to_contain_text("no error type")
    errors.get_by_role("button", name="bad_request").click()
    expect(page.locator(".chip")).to_have_text(re.compile("status is 400"))


def test_a_consumer_has_no_tile_of_consumers(visit):
    looked = visit()
    for address, tiles in (("?range=6h", 1), ("consumers?consumer=acme-prod&range=6h", 0)):
        page = looked.open(address)
        settled(page)
        expect(page.locator(".tile dt", has_text="Requests per minute")).to_have_count(1)
        expect(page.locator(".tile dt", has_text="Consumers")).to_have_count(tiles)


@pytest.mark.parametrize(
    ("address", "panel"), [("errors?range=24h", "Kinds of errors"), ("routes?range=24h", "Routes")]
)
def test_a_panel_ends_where_its_table_does(visit, address, panel):
    page = visit().open(address)
    settled(page)
    box, foot = panel_named(page, panel).bounding_box(), panel_named(page, panel).locator(".foot").bounding_box()
    assert box["y"] + box["height"] - foot["y"] - foot["height"] < 20


def test_a_narrow_table_shows_whole_routes_rather_than_their_trends(visit):
    looked = visit(viewport={"width": 1024, "height": 1000})
    page = looked.open("?range=24h&vs=previous")
    settled(page)
    panel = panel_named(page, "Routes that need attention")
    reasons = panel.locator("td .change").all()
    assert reasons
    for reason in reasons:
        assert reason.bounding_box()["height"] < 45
    expect(panel.locator("th", has_text="Trend")).to_be_hidden()
    assert panel.get_by_role("link", name="/v1/checkout", exact=True).bounding_box()["height"] < 30
    page.set_viewport_size({"width": 1440, "height": 1000})
    expect(panel.locator("th", has_text="Trend")).to_be_visible()


def test_on_a_phone_errors_come_before_routes(visit):
    page = visit(viewport={"width": 390, "height": 844}).open("?range=24h")
    settled(page)
    errors = panel_named(page, "Errors").bounding_box()
    routes = panel_named(page, "Routes that need attention").bounding_box()
    assert errors["y"] < routes["y"]


def test_figures_that_no_filter_narrows_say_so(visit, admin_key):
    looked = visit(key=admin_key, kind="admin")
    page = looked.open("?range=24h&is=route%3A%2Fv1%2Fcheckout")
    settled(page)
    page.locator("main .panel").last.scroll_into_view_if_needed()
    expect(panel_named(page, "Alerts").locator(".notice")).to_contain_text("Not by route")
    page = looked.open("quality?is=route%3A%2Fv1%2Fcheckout")
    settled(page)
    expect(page.locator(".panel.tiles .notice")).to_contain_text("Not by route")
    expect(page.locator(".tile", has_text="Collector lag")).to_contain_text("s")


def test_requests_per_minute_are_told_against_the_limit(visit, service, admin_key):
    def limit(per_minute):
        body = json.dumps({"limits": {"requestsPerMinute": per_minute}}).encode()
        headers = {"Content-Type": "application/json", "X-API-Key": admin_key}
        url = f"{service.query_url}/api/applications/{APPLICATION}"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PATCH")) as response:
            assert response.status == 200

    limit(100)
    try:
        page = visit().open("consumers?consumer=acme-prod&range=24h")
        settled(page)
        expect(page.locator(".tile", has_text="Requests per minute")).to_contain_text("% of the limit")
    finally:
        limit(None)


@pytest.mark.parametrize(
    ("path", "title", "entry"),
    [
        ("", "Requests by status", "2xx"),
        ("errors", "Errors over time", "not_found"),
        ("consumers", "Requests by consumer", "acme-prod"),
        ("consumers", "Active consumers", "returning"),
        ("requests", "Requests over time", "2xx"),
    ],
)
def test_charts_of_counts_have_the_line_of_the_other_period(visit, path, title, entry):
    looked = visit()
    for compare, entries in (("previous", 1), ("none", 0)):
        page = looked.open(f"{path}?range=6h&vs={compare}")
        settled(page)
        legend = panel_named(page, title).locator(".legend-entry")
        expect(legend.filter(has_text=entry)).to_have_count(1)
        expect(legend.filter(has_text="all before")).to_have_count(entries)


def test_the_line_of_errors_before_has_as_many_as_the_other_period(visit, service):
    page = visit().open("errors?range=6h&vs=previous")
    settled(page)
    panel = panel_named(page, "Errors over time")
    panel.get_by_role("button", name="Table").click()
    names = panel.locator("th").all_inner_texts()
    cells = panel.locator("tbody tr").evaluate_all("rows => rows.map(row => row.lastElementChild.textContent)")
    assert names[-1] == "all before"
    urls = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    start, end = max(span.groups() for url in urls if (span := re.search(r"timeseries/(\d+)/(\d+)/", url)))
    before = get_json(f"{service.query_url}/v1/summary?start={2 * int(start) - int(end)}&end={start}", READ_KEY)
    assert sum(int(cell) for cell in cells) == before["errors"] > 0


@pytest.mark.parametrize(
    ("path", "panel", "row", "column"),
    [
        ("routes", "Routes", "/v1/checkout", "p95"),
        ("consumers", "Consumers", "acme-prod", "p95"),
        ("latency", "Percentiles", "p99", "Response time"),
        ("latency?value=response_bytes", "Percentiles", "p99", "Response bytes"),
        ("latency", "Time to the first byte, by route", "/v1/checkout", "p95 to the first byte"),
    ],
)
def test_a_percentile_leads_to_the_requests_that_took_as_much_or_more(visit, service, path, panel, row, column):
    page = visit().open(f"{path}{'&' if '?' in path else '?'}range=6h&vs=none")
    settled(page)
    here = panel_named(page, panel)
    titles = [
        text.split(" \u00b1")[0].rstrip(" \u2191\u2193") for text in here.locator("th[scope=col]").all_inner_texts()
    ]
    cells = here.locator("tbody tr", has_text=row).first.locator("th, td")
    of_all = here.locator("tbody tr", has_text=row).first.get_by_role("link").filter(has_text=re.compile(r"^[\d,]+$"))
    all_of_them = int(of_all.first.inner_text().replace(",", "")) if of_all.count() else None
    cells.nth(titles.index(column)).get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("Requests")
    expect(page.locator(".chip").last).to_contain_text("or more")
    settled(page)
    shown = int(re.search(r"of ([\d,]+) requests?", page.locator(".foot").inner_text())[1].replace(",", ""))
    if all_of_them is None:
        all_of_them = asked(service, page, "v1/summary")["requests"]
    assert 0 < shown <= 0.12 * all_of_them + 2


def test_consumers_of_a_route_and_of_an_error_lead_to_them(visit):
    looked = visit()
    for path, panel, row in (("routes", "Routes", "/v1/checkout"), ("errors", "Kinds of errors", "not_found")):
        page = looked.open(f"{path}?range=6h&vs=none")
        settled(page)
        here = panel_named(page, panel)
        at = [text.strip() for text in here.locator("th[scope=col]").all_inner_texts()].index("Consumers")
        link = here.locator("tr[data-row]", has_text=row).first.locator("td").nth(at).get_by_role("link")
        count = int(link.inner_text())
        link.click()
        expect(page.locator("h1")).to_have_text("Consumers")
        settled(page)
        names = panel_named(page, "Consumers").locator("tr[data-row] td:first-child").all_inner_texts()
        assert len([name for name in names if name.strip() != "(none)"]) == count


def test_consumers_beyond_a_page_are_on_the_next_ones(visit):
    looked = visit()
    # Pages of five rows in place of a hundred.
    looked.page.route(
        re.compile("/v1/breakdown.*limit=100&"),
        lambda route: route.continue_(url=route.request.url.replace("limit=100&", "limit=5&")),
    )
    page = looked.open("consumers?range=24h")
    settled(page)
    panel = panel_named(page, "Consumers")
    first = panel.locator("tr[data-row] td:first-child").all_inner_texts()
    expect(panel.locator(".foot")).to_contain_text("1 to 5")
    expect(panel.get_by_role("button", name="Previous")).to_be_disabled()
    panel.get_by_role("button", name="Next").click()
    address_has(page, "from=5")
    expect(panel.locator(".foot")).to_contain_text("6 to 10")
    settled(page)
    second = panel.locator("tr[data-row] td:first-child").all_inner_texts()
    assert len({*first, *second}) == 10
    # Another order begins at its first page.
    panel.get_by_role("button", name="Bytes").click()
    expect(panel.locator(".foot")).to_contain_text("1 to 5")
    address_lacks(page, "from=")
    settled(page)


def test_a_day_is_compared_with_the_period_before_until_there_is_a_week_before(visit):
    looked = visit()
    page = looked.open("?range=6h")
    settled(page)
    choice = page.get_by_label("vs")
    expect(choice).to_have_value("previous")
    expect(choice.locator("option")).to_have_text(["period before", "nothing"])
    expect(page.locator(".tile", has_text="Requests").first).to_contain_text(re.compile(r"[▲▼]\s(up|down) [\d.]+\s%"))

    def older(route):
        answer = route.fetch()
        me = answer.json()
        me["applications"][0]["firstEventAt"] = "2020-01-01T00:00:00Z"
        route.fulfill(response=answer, json=me)

    looked.page.route("**/v1/me*", older)
    page = looked.open("?range=6h")
    settled(page)
    expect(choice).to_have_value("week")
    expect(choice.locator("option")).to_have_count(3)
    page = looked.open("?range=30d&vs=week")
    settled(page)
    expect(choice).to_have_value("previous")


def test_the_heatmap_is_walked_with_keys_to_the_requests_of_a_cell(visit):
    page = visit().open("latency?range=6h")
    settled(page)
    plot = page.get_by_role("img", name=re.compile("Heatmap"))
    plot.focus()
    told, said = page.locator("[aria-live]"), ""
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        expect(told).not_to_have_text(said)
        expect(told).to_have_text(re.compile(r"\d\d:\d\d, .* to .*: [\d,]+ requests"))
        said = told.inner_text()
    # A refresh keeps the walk where it is.
    with page.expect_response(lambda response: "/v1/latency" in response.url):
        page.keyboard.press("r")
    settled(page)
    page.keyboard.press("ArrowUp")
    expect(told).not_to_have_text(said)
    expect(told).to_contain_text(said.split(",")[0])
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Requests")
    expect(page).to_have_url(re.compile(r"slow=\d+\.\.\d+"))


@pytest.mark.parametrize("field", ["ttfb_us", "response_bytes"])
def test_a_cell_of_any_heatmap_leads_to_as_many_requests(visit, service, field):
    page = visit().open(f"latency?{last_hours(6)}&value={field}")
    settled(page)
    page.get_by_role("img", name=re.compile("Heatmap")).focus()
    told = page.locator("[aria-live]")
    count, key = 0, "Home"
    while count == 0:
        said = told.inner_text()
        page.keyboard.press(key)
        expect(told).not_to_have_text(said)
        count, key = int(told.inner_text().split(": ")[1].split()[0].replace(",", "")), "ArrowUp"
    page.keyboard.press("Enter")
    address_has(page, f"between={field}%3A")
    settled(page)
    expect(page.locator(".chip", has_text=" to ").last).to_contain_text("byte")
    view = parse_qs(urlsplit(page.url).query)
    query = urlencode({name: view[name][0] for name in ("start", "end", "between")})
    assert get_json(f"{service.query_url}/v1/summary?{query}", READ_KEY)["requests"] == count
