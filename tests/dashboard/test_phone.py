"""What a phone shows in place of wide tables and tabs: cards, rows of two lines, a select."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.test_contents import panel_named
from tests.dashboard.test_pages import AXE
from tests.support.browser import address_has, address_lacks, settled

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


def test_routes_are_cards_that_a_tap_opens(visit):
    page = visit(**PHONE).open("routes?range=24h")
    settled(page)
    panel = panel_named(page, "Routes")
    card = panel.locator("tr[data-row]", has_text="/v1/checkout").first
    first, second = card.locator("p").all()
    expect(first).to_have_text(re.compile(r"^POST /v1/checkout$"))
    expect(second).to_have_text(re.compile(r"^[\d,]+ requests · [\d.]+\s% errors · p95 [\d.]+\s\w+$"))
    panel.get_by_role("button", name="Requests").tap()
    expect(panel.locator("th")).to_have_attribute("aria-sort", "descending")
    address_has(page, "sort=-requests")
    settled(page)
    # A tap beside the words opens the route as well.
    box = card.bounding_box()
    card.tap(position={"x": box["width"] - 24, "y": box["height"] - 16})
    expect(page.locator("h1")).to_contain_text("/v1/checkout")
    settled(page)


def test_what_a_chart_offers_stands_in_one_line_below_its_title(visit):
    page = visit(**PHONE).open("?range=24h")
    settled(page)
    for title in ("Requests by status", "Latency"):
        header = panel_named(page, title).locator("header")
        tops = {round(button.bounding_box()["y"]) for button in header.get_by_role("button").all()}
        assert len(tops) == 1
        assert header.get_by_role("heading").bounding_box()["y"] < tops.pop()


def test_kinds_of_errors_have_two_lines_and_a_tap_opens_one(visit):
    page = visit(**PHONE).open("errors?range=24h")
    settled(page)
    rows = panel_named(page, "Kinds of errors").locator("tr[data-row]")
    for row in rows.all():
        first, second = row.locator("p").all()
        expect(first).to_have_text(re.compile(r" [\d,]+$"))
        expect(second).to_have_text(re.compile(r"^\d{3} .+ · .+ · since .*\d\d:\d\d"))
        assert first.bounding_box()["height"] < 30 > second.bounding_box()["height"]
    box = rows.first.bounding_box()
    rows.first.tap(position={"x": box["width"] - 24, "y": box["height"] - 12})
    expect(rows.first.get_by_role("button")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("tr.detail .panel", has_text="Over time").locator(".plot")).to_be_visible()
    settled(page)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


@pytest.mark.parametrize(
    "path", ["", "latency?range=6h", "consumers?consumer=acme-prod", "routes?route=%2Fv1%2Fcheckout"]
)
def test_a_page_is_as_wide_as_the_phone(visit, path):
    page = visit(**PHONE, is_mobile=True).open(path)
    settled(page)
    page.locator("main .panel").last.scroll_into_view_if_needed()
    settled(page)
    assert page.evaluate("innerWidth") == PHONE["viewport"]["width"]


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("?range=24h", "Routes that need attention"),
        ("?range=24h", "Errors"),
        ("consumers?consumer=acme-prod&range=24h", "Routes"),
        ("consumers?consumer=acme-prod&range=24h", "Latency against all others"),
    ],
)
def test_all_columns_of_a_table_fit_the_phone(visit, path, title):
    page = visit(**PHONE).open(path)
    settled(page)
    panel = panel_named(page, title)
    panel.scroll_into_view_if_needed()
    settled(page)
    assert panel.locator(".scroll").evaluate("({ scrollWidth, clientWidth }) => scrollWidth - clientWidth") <= 0


def test_before_and_after_and_the_first_byte_have_two_lines_on_a_phone(visit):
    page = visit(**PHONE).open("latency?range=6h&before=2.5.0")
    settled(page)
    row = page.locator(".panel", has_text="Before and after").locator("tr[data-row]", has_text="/v1/search")
    expect(row.locator("p").last).to_have_text(re.compile(r"^p95 [\d.]+\s\w+, then [\d.]+\s\w+: "))
    row = panel_named(page, "Time to the first byte, by route").locator("tr[data-row]", has_text="/v1/search")
    expect(row.locator("p").last).to_have_text(re.compile(r"^p95 [\d.]+\s\w+ to the first byte, [\d.]+\s\w+ of all$"))


def test_a_select_chooses_the_consumers(visit):
    page = visit(**PHONE).open("consumers?range=24h")
    settled(page)
    panel = panel_named(page, "Consumers")
    expect(panel.get_by_role("tab")).to_have_count(0)
    choice = panel.get_by_label("Which consumers")
    expect(choice.locator("option")).to_have_text(
        [re.compile(name) for name in ("all", r"new \d", r"silent \d", r"failing \d")]
    )
    choice.select_option("failing")
    address_has(page, "tab=failing")
    settled(page)
    count = choice.locator("option:checked").inner_text().split()[1]
    expect(panel).to_contain_text(f"{count} consumer")
    choice.select_option("all")
    address_lacks(page, "tab=")
    settled(page)


@pytest.mark.parametrize("path", ["routes?range=24h", "errors?range=24h", "consumers?range=24h"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(visit, path):
    looked = visit(**PHONE, bypass_csp=True)
    page = looked.open(path)
    page.evaluate(AXE)
    sideways = "elements => elements.filter((e) => e.scrollWidth > e.clientWidth).length"
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        settled(page)
        looked.keep_screen(f"{path.partition('?')[0]}-{width}")
        if not path.startswith("consumers"):
            assert page.locator("html, .scroll, .boxed .soft").evaluate_all(sideways) == 0
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert result["passes"]
        assert [
            (found["id"], found["nodes"])
            for found in result["violations"]
            if found["impact"] in ("serious", "critical")
        ] == [], width
