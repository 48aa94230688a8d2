"""What the pages say of the requests: tiles, routes, consumers, errors, latency; against the API's own answers."""

from __future__ import annotations

import csv
import json
import re
import urllib.request
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import FORGOTTEN
from tests.dashboard.test_pages import rows_of_csv, settled
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
    new = asked(service, page, "v1/breakdown", by="consumer_id", having="new")["pagination"]["total"]
    assert new > 0
    tile = page.locator(".tile", has_text="Consumers")
    tile.get_by_role("link", name=f"{new} new").click()
    expect(page.locator("h1")).to_have_text("Consumers")
    expect(page.get_by_role("tab", name=f"new {new}")).to_have_attribute("aria-selected", "true")
    settled(page)
    expect(panel_named(page, "Consumers").locator("tr[data-row]")).to_have_count(new)


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
    page = visit().open("consumers?range=24h")
    settled(page)
    panel = panel_named(page, "Active consumers")
    header, *rows = rows_of_csv(page, panel)
    assert header.endswith('"returning","new"')
    most = max(sum(map(int, re.findall(r'"(\d+)"', row.partition(",")[2]))) for row in rows if row)
    total = asked(service, page, "v1/summary")["consumers"]
    assert 0 < most <= total


# Of a few hundred requests, two neighbours may differ by more than the buckets do.
@pytest.mark.parametrize("span", ["24h", "7d"])
def test_a_consumer_stands_against_all_others(visit, service, span):
    page = visit().open(f"consumers?consumer=acme-prod&range={span}")
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
    assert "show=unused" in page.url
    expect(panel).not_to_contain_text("/v1/checkout")


def test_routes_count_their_consumers(visit, service):
    page = visit().open("routes?range=24h")
    settled(page)
    counted = asked(service, page, "v1/breakdown", by="route,method", measures="consumers")
    by_key = {tuple(row["key"]): row["consumers"] for row in counted["rows"]}
    row = panel_named(page, "Routes").locator("tr[data-row]", has_text="/v1/checkout").first
    assert by_key["/v1/checkout", "POST"] > 1
    expect(row.locator("td").nth(8)).to_have_text(str(by_key["/v1/checkout", "POST"]))


def test_a_kind_of_error_opens_from_the_overview_with_its_time_line(visit, service):
    page = visit().open("?range=6h")
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


def test_kinds_of_errors_have_one_row_over_all_their_routes(visit, service):
    page = visit().open("errors?range=24h")
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
    assert "columns=" in page.url
    page.reload()
    settled(page)
    expect(panel.locator("th", has_text="p95")).to_be_visible()
    expect(panel.locator("th", has_text="p50")).to_have_count(0)


def test_a_deploy_in_a_chart_leads_to_before_and_after(visit):
    page = visit().open("?range=6h")
    settled(page)
    plot = panel_named(page, "Requests by status").locator(".u-over")
    box = plot.bounding_box()
    # The deploy is two hours old.
    middle = int(box["width"] * 2 / 3)
    for x in range(middle - 40, middle + 40, 8):
        plot.click(position={"x": x, "y": 20})
        if "latency" in page.url:
            break
    expect(page.locator("h1")).to_have_text("Latency")
    expect(page.locator("main .actions select")).to_have_value("2.5.0")


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


def test_requests_stand_before_those_of_the_other_period(visit):
    looked = visit()
    for address, entries in (("?range=6h&vs=previous", 1), ("?range=6h&vs=none", 0)):
        page = looked.open(address)
        settled(page)
        legend = panel_named(page, "Requests by status").locator(".legend-entry")
        expect(legend.filter(has_text="2xx")).to_have_count(1)
        expect(legend.filter(has_text="all before")).to_have_count(entries)


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
