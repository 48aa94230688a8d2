"""The keyboard: each single key of the list, the palette's actions, and keys that are switched off."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.support.browser import address_has, settled

ALLOWED = {"permissions": ["clipboard-read", "clipboard-write"]}


def test_keys_widen_narrow_and_move_the_range(visit):
    page = visit().open("routes?start=1413295200&end=1413298800")
    settled(page)
    for key, start, end in (
        ("-", 1413293400, 1413300600),
        ("+", 1413295200, 1413298800),
        ("[", 1413291600, 1413295200),
        ("]", 1413295200, 1413298800),
    ):
        page.keyboard.press(key)
        address_has(page, f"start={start}&end={end}")
    settled(page)


def test_keys_choose_the_zone_search_refresh_and_copy_the_link(visit):
    page = visit(timezone_id="Europe/Berlin", **ALLOWED).open("routes?range=6h")
    settled(page)
    page.keyboard.press("z")
    address_has(page, "tz=UTC")
    page.keyboard.press("z")
    address_has(page, "tz=Europe%2FBerlin")
    page.get_by_role("button", name="UTC").click()
    address_has(page, "tz=UTC")
    settled(page)
    with page.expect_request(re.compile("/v1/breakdown")):
        page.keyboard.press("r")
    page.keyboard.press(".")
    expect(page.get_by_text("Link copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"/routes\?start=\d+&end=\d+.*tz=UTC", link)
    page.keyboard.press("/")
    expect(page.locator("input[type=search]")).to_be_focused()
    # Within a field a key is a letter.
    page.keyboard.press("z")
    address_has(page, "tz=UTC")
    settled(page)


def test_keys_walk_open_and_exclude_rows_and_show_a_panel_as_a_table(visit):
    page = visit().open("routes?range=7d")
    settled(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr[data-row]").nth(1)).to_be_focused()
    page.keyboard.press("k")
    first = page.locator("tr[data-row]").first
    expect(first).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator(".chip")).to_contain_text("route is not")
    page.keyboard.press("Escape")
    expect(page.locator(".chip")).to_have_count(0)
    settled(page)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"route="))
    settled(page)
    page.locator(".plot").first.focus()
    page.keyboard.press("d")
    expect(page.locator("table.plain")).to_be_visible()


def test_l_shows_live_requests_from_any_page_and_again_the_past(visit):
    page = visit().open("errors")
    settled(page)
    page.keyboard.press("l")
    expect(page.locator("h1")).to_have_text("Requests")
    expect(page.locator("h1")).to_be_focused()
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("l")
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "false")
    settled(page)


def test_single_keys_can_be_switched_off_and_the_palette_still_opens(visit):
    page = visit().open("settings?tab=browser")
    page.get_by_role("checkbox", name="Single keys").uncheck()
    page.keyboard.press("Tab")
    page.keyboard.press("f")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name=re.compile("Page, route"))
    box.fill("period before")
    page.keyboard.press("Enter")
    box.wait_for(state="detached")
    page.keyboard.press("Control+k")
    box.fill("nothing has this name")
    expect(page.locator(".palette [role=option]")).to_have_count(0)
    expect(page.get_by_text("Nothing has this in its name.")).to_be_visible()


def test_an_application_that_the_key_does_not_have_is_named_and_the_rest_is_shown(visit):
    page = visit().open("routes?app=elsewhere&range=7d")
    settled(page)
    expect(page.get_by_role("alert")).to_contain_text("app=elsewhere")
    expect(page.locator("tr[data-row]").first).to_be_visible()


def test_a_walk_through_a_chart_is_told_twice_a_second_at_most(visit):
    looked = visit()
    looked.page.clock.install()
    page = looked.open("?range=7d")
    settled(page)
    page.get_by_role("img", name=re.compile("Requests by status")).focus()
    told = page.locator("[aria-live=polite]")
    # So far ahead that it is not past when the clock hears of it.
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 600"))
    page.keyboard.press("End")
    expect(told).to_contain_text("2xx")
    first = told.inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".legend-time").first).not_to_be_empty()
    assert told.inner_text() == first
    page.clock.run_for(500)
    expect(told).not_to_have_text(first)
