"""Every page with data: it shows all of it, fits its screen, is accessible, and does nothing that no page may do."""

from __future__ import annotations

import json
import re
import urllib.request
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import HOSTILE
from tests.support.browser import address_has, settled
from tests.support.services.processes import ADMIN_KEY, get_json

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
# With a sentence about the route that stands out.
WORST = "?range=6h&vs=previous"
# Where an admin key changes something.
MANAGED = (
    *(f"settings?tab={tab}" for tab in ("applications", "keys", "organization", "links", "sessions", "delete")),
    *(f"alerts?tab={tab}" for tab in ("rules", "history", "edit")),
)
NAME = "<script>alert(4)</script>"
AXE = (ROOT / "dashboard" / "node_modules" / "axe-core" / "axe.min.js").read_text()
# The schemes differ in colours alone.
SCHEMES = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}
SIZES = {
    "desktop": {"width": 1440, "height": 1000},
    "tablet": {"width": 820, "height": 1100},
    "phone": {"width": 390, "height": 844},
    "narrow": {"width": 320, "height": 700},
}


def asked(service, method, path, body=None, key=ADMIN_KEY):
    """Ask a service for a change, and return its answer."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{service}{path}", content, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or "null")


@pytest.mark.parametrize("path", [*PAGES, *DETAILS])
def test_every_panel_of_a_page_has_its_answer_and_its_table_and_four_are_asked_at_once_at_most(visit, path):
    page = visit().open(path)
    settled(page)
    expect(page.locator("h1")).to_be_visible()
    expect(page.get_by_text("This panel failed")).to_have_count(0)
    expect(page.locator(".skeleton")).to_have_count(0)
    expect(page.locator(".panel .state button", has_text="Now")).to_have_count(0)
    drawn = page.locator("main .panel:has(table.rows, .plot, .histogram)")
    assert drawn.count() > 0 or path in WITHOUT_TABLES
    expect(page.locator("main .panel:has(table.rows, .plot, .histogram):not(:has(.panel-tools))")).to_have_count(0)
    most = page.evaluate("mostAskedAtOnce")
    assert most <= 4
    assert most == 4 or path != "", "the Overview has more than four questions"


@pytest.fixture
def named(service):
    """A rule, a key, an application and a link with a name that is markup."""
    (application,) = get_json(f"{service.query_url}/v1/me")["applications"]
    own = {"name": NAME, "application": application["id"]}
    rule = {**own, "metric": "no_data", "webhookUrl": 'https://example.com/"><img/src=x>', "include": [f"url:{NAME}"]}
    asked(service.query_url, "POST", "/api/applications", {"name": NAME})
    made = [
        ("/api/alerts", asked(service.query_url, "POST", "/api/alerts", rule)["alert"]["id"]),
        ("/api/keys", asked(service.query_url, "POST", "/api/keys", {**own, "kind": "read"})["key"]["id"]),
        (
            "/api/shares",
            asked(service.query_url, "POST", "/api/shares", {**own, "include": [f"url:{NAME}"]})["share"]["id"],
        ),
    ]
    yield f"alerts?tab=edit&rule={made[0][1]}"
    for path, identity in made:
        asked(service.query_url, "DELETE", f"{path}/{identity}")


def serious_findings(page):
    """What axe finds that a person cannot work with, in both schemes, which differ in colours alone."""
    page.evaluate(AXE)
    for scheme, rules in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        result = page.evaluate("options => axe.run(document, options)", {"resultTypes": ["violations"], **rules})
        assert result["passes"]
        for violation in result["violations"]:
            if violation["impact"] in ("serious", "critical"):
                yield from ((scheme, violation["id"], node["target"]) for node in violation["nodes"])


SMALL = """least => [...document.querySelectorAll("button, a[href], select, summary, input")].filter((e) => {
  const box = e.getBoundingClientRect();
  // Words within a sentence and the two lines of a row are texts; a label is pressed with its field.
  if (box.width === 0 || e.closest(".skip, .two-lines, .tile-notes, p, label, strong") !== null) return false;
  const above = parseFloat(getComputedStyle(e, "::after").top) || 0;
  return box.height - 2 * Math.min(above, 0) < least;
}).map((e) => e.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("sizes", [("desktop", "tablet"), ("phone", "narrow")], ids="-".join)
def test_pages_fit_their_screens_and_fingers_without_sideways_scrolling(visit, sizes):
    is_touched = "phone" in sizes
    looked = visit(has_touch=is_touched)
    for path in (*PAGES, *(DETAILS if is_touched else ())):
        looked.page.set_viewport_size(SIZES[sizes[0]])
        page = looked.open(path)
        # A page that is loaded follows its screen, and whether it is dark.
        for size, scheme in product(sizes, SCHEMES):
            page.set_viewport_size(SIZES[size])
            page.emulate_media(color_scheme=scheme)
            settled(page)
            looked.keep_screen(f"{path.partition('?')[0] or 'overview'}-{size}-{scheme}")
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, (path, size, scheme)
            assert page.evaluate(SMALL, 44 if is_touched else 24) == [], (path, size, scheme)


# How far apart the middles of what stands beside each other are.
UNEVEN = """element => {
  const middles = [...element.children].map((e) => e.getBoundingClientRect()).filter(({ width }) => width > 0)
    .map(({ top, bottom }) => (top + bottom) / 2);
  return Math.max(...middles) - Math.min(...middles);
}"""


@pytest.mark.parametrize("width", [1440, 1280, 1100, 1024])
def test_the_bar_has_two_lines_also_with_the_longest_zone(visit, width):
    zone = "America/Argentina/ComodRivadavia"
    page = visit(viewport={"width": width, "height": 900}, timezone_id=zone).open("?range=7d&vs=previous")
    settled(page)
    assert page.locator(".bar-controls").evaluate(UNEVEN) < 4
    title, out = page.locator("h1"), page.get_by_role("button", name="Sign out")
    assert abs(title.bounding_box()["y"] - out.bounding_box()["y"]) < 12


def test_what_is_built_is_small():
    built = ROOT / "query_api" / "apimetry" / "query_api" / "dashboard" / "static" / "assets"
    sizes = [file.stat().st_size for file in built.iterdir() if file.name.endswith((".js.br", ".css.br"))]
    assert len(sizes) == 2
    assert sum(sizes) <= 80 * 1024


@pytest.mark.parametrize(
    "paths", [PAGES, (*DETAILS, WORST, "errors?start=1413295200&end=1413298800", "latency?is=method%3ANOPE")]
)
def test_axe_finds_nothing_serious_on_any_page(visit, paths):
    # The checker is a script of its own, which the page's policy rightly refuses.
    looked = visit(color_scheme="light", bypass_csp=True)
    found = {}
    for path in paths:
        page = looked.open(path)
        settled(page)
        found[path] = [*serious_findings(page), *page.evaluate(SMALL, 24)]
    assert not any(found.values()), found


def test_axe_finds_nothing_serious_in_any_dialog(visit):
    page = visit(color_scheme="light", bypass_csp=True).open("")
    settled(page)
    found = {}
    for key, title in {"f": "Add a filter", "t": "Range", "?": "Keys", "Control+k": "Go to"}.items():
        page.keyboard.press(key)
        expect(page.get_by_role("dialog", name=title)).to_be_visible()
        found[title] = list(serious_findings(page))
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert not any(found.values()), found


def test_axe_finds_nothing_serious_where_something_is_changed(visit, admin_key, named):
    looked = visit(admin_key, "admin", color_scheme="light", bypass_csp=True)
    found = {}
    for path in (*MANAGED, named):
        page = looked.open(path)
        settled(page)
        found[path] = [*serious_findings(page), *page.evaluate(SMALL, 24)]
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found["Share"] = list(serious_findings(page))
    assert not any(found.values()), found


def test_stored_texts_stay_texts_on_every_page(visit):
    looked = visit()
    markup, long, signs = (quote(HOSTILE[number][:1024], safe="") for number in (0, 3, 4))
    paths = [*PAGES, "requests?is=status_code%3A500", f"errors?class=5xx&kind={markup}"]
    paths += [f"{page}={value}" for page in ("routes?route", "consumers?consumer") for value in (markup, long, signs)]
    paths += [f"?is=route%3A{long}&not=version%3A{signs}&explain=errors"]
    for path in paths:
        page = looked.open(path)
        settled(page)
        assert page.locator("body script, body img, body b > *").count() == 0
        expect(page.get_by_text("This panel failed")).to_have_count(0)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, path
        # An override of the direction, and a control character, are shown as signs.
        assert not re.search("[\u202e\x1b]", page.locator("body").inner_text()), path


def test_stored_texts_stay_texts_in_details_and_where_they_are_chosen(visit):
    page = visit().open("requests?range=24h&between=response_us:1000..1000")
    settled(page)
    for text in HOSTILE[:3]:
        expect(page.locator("main").get_by_text(text[:20]).first).to_be_visible()
    for number in range(len(HOSTILE)):
        page.get_by_role("button", name="Details").nth(number).click()
        expect(page.locator("tr.detail")).to_have_count(1)
        assert page.locator("body script, body img").count() == 0
        page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name=re.compile("Page, route")).fill("<script>")
    expect(page.get_by_role("option", name=re.compile("<script>alert")).first).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    expect(page.get_by_role("dialog").get_by_text("<script>alert").first).to_be_visible()


def test_names_that_are_markup_stay_texts_where_they_are_managed(visit, admin_key, named):
    looked = visit(admin_key, "admin")
    for path in ("settings?tab=applications", "settings?tab=keys", "settings?tab=links", "alerts?tab=rules", named):
        page = looked.open(path)
        settled(page)
        assert page.locator("body script, body img").count() == 0
        expect(page.get_by_role("combobox", name="Application").get_by_text(NAME)).not_to_have_count(0)
        if path in ("settings?tab=keys", "settings?tab=links", "alerts?tab=rules"):
            expect(page.locator("tr[data-row]", has_text=NAME).first).to_be_visible()


def test_the_overview_shows_the_numbers_of_the_api_and_names_the_worst_route(visit, service):
    looked = visit()
    with looked.page.expect_response(re.compile("/v1/summary")) as answered:
        page = looked.open("?range=7d")
    requests = answered.value.json()["requests"]
    settled(page)
    expect(page.locator(".tile", has_text="Requests").first).to_contain_text(f"{requests:,}")
    page = looked.open(WORST)
    settled(page)
    notice = page.locator(".explain")
    expect(notice).to_contain_text(re.compile(r"/v1/\w+ fails \d"))
    notice.get_by_role("link", name=" of ").click()
    expect(page.locator("h1")).to_have_text("Requests")
    address_has(page, "is=route%3A%2Fv1%2F")
    address_has(page, "is=status_class%3A5xx")


def test_a_number_leads_to_its_requests(visit):
    page = visit().open("errors?range=7d")
    settled(page)
    page.locator("table.rows a").first.click()
    expect(page.locator("h1")).to_have_text("Requests")
    address_has(page, "is=error_type")
    address_has(page, "range=7d")
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
