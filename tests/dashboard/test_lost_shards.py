"""While a shard of the store is lost: no numbers, until somebody asks for those of the other shards, marked as such.

The service has one store without shards. A stand-in for the page's `fetch` refuses what a cluster would refuse, and
names the lost shard in what a cluster would answer without it.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.browser import address_has, address_lacks, settled

# Within the page, so that questions can be given up as ever.
STAND_IN = """
const ask = fetch;
window.isShardLost = true;
const takesPartial = /\\/(v1\\/(summary|breakdown|latency|explain|quality|events)\\?|1\\/timeseries\\/)/;
const refused = {
  error: "Service Unavailable",
  message: "Shard 2 of the store's cluster cannot be reached. Try again later, or ask with partial=1",
  missing_shards: [2],
};
window.fetch = async (address, options) => {
  const { href, searchParams } = new URL(address);
  const isOfEvents = takesPartial.test(href) || /v1\\/(versions|values)/.test(href);
  if (!window.isShardLost || !isOfEvents) return ask(address, options);
  if (!takesPartial.test(href) || !searchParams.has("partial")) {
    return Response.json(refused, { status: 503, headers: { "Retry-After": "5" } });
  }
  const answer = await (await ask(address, options)).json();
  return Response.json({ ...answer, missing_shards: [2] });
};
"""
# Pages whose figures are of events; the badge of the completeness stands on each.
WITH_FIGURES = ("", "routes", "consumers", "errors", "latency", "requests")


@pytest.fixture
def looked(visit):
    looked = visit()
    looked.page.add_init_script(STAND_IN)
    return looked


@pytest.mark.parametrize("path", WITH_FIGURES)
def test_a_lost_shard_leaves_no_numbers_until_the_rest_is_asked_for(looked, path):
    page = looked.open(path)
    expect(page.get_by_text("Shard 2 of the store does not answer").first).to_be_visible()
    expect(page.locator("table.rows, .plot, .figure")).to_have_count(0)
    page.get_by_role("button", name="Show the rest").first.click()
    address_has(page, "partial=1")
    expect(page.get_by_role("alert")).to_contain_text("Shard 2 of the store does not answer.")
    settled(page)
    expect(page.get_by_role("button", name="Show the rest")).to_have_count(0)
    shown = page.locator("main .panel:has(table.rows, .plot, .figure)")
    assert shown.count() > 0
    expect(page.locator("main .panel:has(table.rows, .plot, .figure):not(:has(.tag))")).to_have_count(0)
    page.get_by_role("button", name="Show whole numbers only").click()
    address_lacks(page, "partial")
    expect(page.locator("table.rows, .plot, .figure")).to_have_count(0)


def test_a_link_keeps_that_a_shard_is_left_out_and_every_number_is_marked(looked):
    page = looked.open("?partial=1&range=7d")
    settled(page)
    tiles = page.locator(".panel.tiles")
    expect(tiles).to_contain_text("without shard 2")
    mark = "element => getComputedStyle(element, '::after').content"
    for figure in page.locator(".figure, .panel td.number:not(:empty)").all():
        assert figure.evaluate(mark) == '"*"'
    expect(page.locator(".badge")).to_have_text("not whole")
    page.get_by_role("link", name="Errors").first.click()
    address_has(page, "partial=1")
    panel = page.locator(".panel:has(table.rows)").first
    with page.expect_download() as downloading:
        panel.get_by_role("button", name="CSV").click()
    assert downloading.value.suggested_filename.endswith("-without-shard-2.csv")


def test_a_shard_that_is_back_leaves_whole_numbers_without_marks(looked):
    page = looked.open("?partial=1")
    expect(page.get_by_role("alert")).to_be_visible()
    settled(page)
    page.evaluate("window.isShardLost = false")
    page.keyboard.press("r")
    expect(page.get_by_role("alert")).to_have_count(0)
    settled(page)
    expect(page.locator(".tag")).to_have_count(0)
    page.get_by_role("button", name="Remove: also without lost shards").click()
    address_lacks(page, "partial")


def test_where_every_shard_answers_nothing_is_marked(visit):
    page = visit().open("?partial=1")
    settled(page)
    expect(page.locator(".figure").first).to_be_visible()
    expect(page.locator(".tag")).to_have_count(0)
    expect(page.locator("main [role=alert]")).to_have_count(0)
