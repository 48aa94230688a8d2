"""Every page with data: it shows all of it, fits its screen, is accessible, and does nothing that no page may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import HOSTILE

ROOT = Path(__file__).parents[2]
PAGES = {
    "": "Overview",
    "routes": "Routes",
    "consumers": "Consumers",
    "errors": "Errors",
    "latency": "Latency",
    "requests": "Requests",
    "alerts": "Alerts",
    "quality": "Data quality",
    "settings?tab=browser": "Settings",
}
# Without rules, and without senders that report.
WITHOUT_TABLES = ("alerts", "quality", "settings?tab=browser")
DETAILS = ("routes?route=%2Fv1%2Fcheckout", "consumers?consumer=acme-prod", "?explain=errors&range=7d")
AXE = (ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js").read_text()
# The schemes differ in colours alone.
SCHEMES = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}
SIZES = {"desktop": (1440, 1000), "tablet": (820, 1100), "phone": (390, 844), "narrow": (320, 700)}


def settled(page):
    """Wait until no panel asks any more."""
    page.wait_for_load_state("networkidle")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


@pytest.mark.parametrize("path", [*PAGES, *DETAILS])
def test_every_panel_of_a_page_has_its_answer_and_its_table(visit, path):
    page = visit().open(path)
    settled(page)
    expect(page.locator("h1")).to_be_visible()
    expect(page.get_by_text("This panel failed")).to_have_count(0)
    expect(page.locator(".skeleton")).to_have_count(0)
    expect(page.locator(".panel .state button", has_text="Now")).to_have_count(0)
    drawn = page.locator("main .panel:has(table.rows, .plot, .histogram)")
    assert drawn.count() > 0 or path in WITHOUT_TABLES
    expect(page.locator("main .panel:has(table.rows, .plot, .histogram):not(:has(.panel-tools))")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_their_screens_without_sideways_scrolling(visit, size, scheme):
    width, height = SIZES[size]
    looked = visit(viewport={"width": width, "height": height}, color_scheme=scheme)
    for path in PAGES:
        page = looked.open(path)
        settled(page)
        looked.keep_screen(f"{path.partition('?')[0] or 'overview'}-{size}-{scheme}")
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, path


def test_axe_finds_nothing_serious_on_any_page(visit):
    # The checker is a script of its own, which the page's policy rightly refuses.
    looked = visit(color_scheme="light", bypass_csp=True)
    violations = {}
    for path in (*PAGES, *DETAILS):
        page = looked.open(path)
        settled(page)
        page.evaluate(AXE)
        for scheme, rules in SCHEMES.items():
            page.emulate_media(color_scheme=scheme)
            result = page.evaluate("options => axe.run(document, options)", {"resultTypes": ["violations"], **rules})
            assert result["passes"]
            serious = [
                (violation["id"], node["target"], node["failureSummary"])
                for violation in result["violations"]
                if violation["impact"] in ("serious", "critical")
                for node in violation["nodes"]
            ]
            if serious:
                violations[path, scheme] = serious
    assert violations == {}


def test_stored_texts_stay_texts_on_every_page(visit):
    looked = visit()
    for path in (*PAGES, "requests?is=status_code%3A500", "errors?class=5xx"):
        page = looked.open(path)
        settled(page)
        assert page.locator("main script, main img").count() == 0
    page = looked.open("requests?range=15m&is=status_code%3A500")
    settled(page)
    for text in HOSTILE[:3]:
        expect(page.locator("main").get_by_text(text[:20]).first).to_be_visible()


def test_the_overview_shows_the_numbers_of_the_api_and_names_the_worst_route(visit, service):
    looked = visit()
    with looked.page.expect_response(re.compile("/v1/summary")) as answered:
        page = looked.open("?range=7d")
    requests = answered.value.json()["requests"]
    settled(page)
    expect(page.locator(".tile", has_text="Requests").first).to_contain_text(f"{requests:,}")
    page = looked.open("?range=6h&vs=previous")
    settled(page)
    notice = page.locator(".explain")
    expect(notice).to_contain_text(re.compile(r"/v1/\w+ fails \d"))
    notice.get_by_role("link").first.click()
    expect(page.locator("h1")).to_have_text("Requests")
    assert "is=route%3A%2Fv1%2F" in page.url
    assert "is=status_class%3A5xx" in page.url


def test_a_number_leads_to_its_requests(visit):
    page = visit().open("errors?range=7d")
    settled(page)
    page.locator("table.rows a").first.click()
    expect(page.locator("h1")).to_have_text("Requests")
    assert "is=error_type" in page.url
    assert "range=7d" in page.url
    settled(page)
    expect(page.locator("tr[data-row]").first).to_be_visible()
    page.go_back()
    expect(page.locator("h1")).to_have_text("Errors")


def test_a_click_on_a_value_filters_every_page_and_shift_leaves_it_out(visit):
    page = visit().open("requests?range=7d")
    settled(page)
    page.locator("button.value", has_text="acme-prod").first.click()
    expect(page.locator(".chip")).to_contain_text("consumer is acme-prod")
    page.get_by_role("link", name="Routes").click()
    expect(page.locator(".chip")).to_contain_text("consumer is acme-prod")
    settled(page)
    page.get_by_role("button", name="Remove: consumer is acme-prod").click()
    expect(page.locator(".chip")).to_have_count(0)
    page.get_by_role("link", name="Requests").click()
    settled(page)
    page.locator("button.value", has_text="acme-prod").first.click(modifiers=["Shift"])
    expect(page.locator(".chip")).to_contain_text("consumer is not acme-prod")


def rows_of_csv(page, panel):
    with page.expect_download() as downloading:
        panel.get_by_role("button", name="CSV").click()
    return Path(downloading.value.path()).read_bytes().decode("utf-8-sig").split("\r\n")


def test_a_chart_has_a_table_a_csv_and_a_finer_step(visit):
    page = visit().open("?range=7d")
    settled(page)
    panel = page.locator(".panel", has_text="Requests by status")
    panel.get_by_role("button", name="Table").click()
    expect(panel.locator("table.plain tbody tr").first).to_be_visible()
    header, *rows = rows_of_csv(page, panel)
    assert header.startswith('"Time (UTC)"')
    assert len(rows) > 24
    panel.get_by_role("button", name="Finer").click()
    settled(page)
    assert len(rows_of_csv(page, panel)) > 2 * len(rows)
