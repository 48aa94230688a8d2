"""What a phone shows in place of wide tables and tabs: cards, rows of two lines, a select."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.dashboard.test_contents import panel_named
from tests.dashboard.test_pages import AXE, settled

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
    assert "sort=-requests" in page.url
    settled(page)
    # A tap beside the words opens the route as well.
    box = card.bounding_box()
    card.tap(position={"x": box["width"] - 24, "y": box["height"] - 16})
    expect(page.locator("h1")).to_contain_text("/v1/checkout")
    settled(page)


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
    assert "tab=failing" in page.url
    settled(page)
    count = choice.locator("option:checked").inner_text().split()[1]
    expect(panel).to_contain_text(f"{count} consumers")
    choice.select_option("all")
    assert "tab=" not in page.url
    settled(page)


@pytest.mark.parametrize("width", [390, 320])
@pytest.mark.parametrize("path", ["routes?range=24h", "errors?range=24h", "consumers?range=24h"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(visit, path, width):
    looked = visit(viewport={"width": width, "height": 844}, has_touch=True, bypass_csp=True)
    page = looked.open(path)
    settled(page)
    looked.keep_screen(f"{path.partition('?')[0]}-{width}")
    sideways = "elements => elements.filter((e) => e.scrollWidth > e.clientWidth).length"
    if not path.startswith("consumers"):
        assert page.locator("html, .scroll, .boxed .soft").evaluate_all(sideways) == 0
    page.evaluate(AXE)
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert result["passes"]
    assert [
        (found["id"], found["nodes"]) for found in result["violations"] if found["impact"] in ("serious", "critical")
    ] == []
