import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, onPage, PAGES, parseAddress, type View } from "../src/address.ts";

function read(address: string): { view: View; bad: string[] } {
  const [path = "", query = ""] = address.split("?");
  return parseAddress(path, new URLSearchParams(query));
}

const ADDRESSES = [
  "",
  "routes",
  "routes?route=%2Fv1%2Fcheckout&sort=-p95Ms",
  "routes?route=",
  "consumers?range=30d&tab=new",
  "errors?range=1h&vs=none&is=status_code%3A5xx&class=5xx",
  "requests?start=1795691038&end=1795694638&is=route%3A%2Fv1%2Fx%3Ay&not=status_code%3A404&has=url%3Atoken&slow=250..2000",
  "latency?app=3c72&tz=Europe%2FBerlin&value=ttfb_us",
  "?range=7d&is=consumer_id%3A&is=version%3A2.5.0",
  "quality?range=24h&vs=previous",
  "?q=a+b%26c",
  "requests?between=response_bytes%3A1024..4096&between=ttfb_us%3A0..900",
  "errors?between=request_bytes%3A1024..&between=ttfb_us%3A..900",
];

test("every address round-trips", () => {
  for (const address of ADDRESSES) {
    const { view, bad } = read(address);
    assert.deepEqual(bad, [], address);
    assert.deepEqual(read(addressOf(view)).view, view, address);
  }
});

test("defaults are left out", () => {
  assert.equal(addressOf(read("?range=24h&vs=week").view), "");
});

test("a range up to a day is compared with the week before, a longer one with the period before", () => {
  assert.equal(read("?range=24h").view.compare, "week");
  assert.equal(read("?range=7d").view.compare, "previous");
  assert.equal(read("?start=1&end=5").view.compare, "previous");
});

test("bad parts are named and the rest is shown", () => {
  const { view, bad } = read(
    "routes?range=2h&vs=never&is=colour:red&is=status_code:abc&between=url:1..2&between=ttfb_us:..&slow=9..1&tz=Mars/Base&start=5&end=4",
  );
  assert.deepEqual(bad, [
    "start=5, end=4",
    "range=2h",
    "vs=never",
    "slow=9..1",
    "tz=Mars/Base",
    "is=colour:red",
    "is=status_code:abc",
    "between=url:1..2",
    "between=ttfb_us:..",
  ]);
  assert.equal(view.page, "routes");
  assert.equal(view.range, "24h");
});

test("another page keeps range and filters, and drops what was the page's own", () => {
  const here = read("routes?range=7d&is=method%3AGET&route=%2Fx&sort=-p95Ms&q=x").view;
  for (const page of PAGES) {
    const there = onPage(here, page);
    assert.deepEqual(
      [there.range, there.filters, there.own, there.sort, there.search],
      ["7d", here.filters, {}, null, null],
    );
  }
});

test("an address keeps that lost shards are left out, on every page", () => {
  const { view, bad } = read("routes?partial=1");
  assert.equal(view.isPartial, true);
  assert.deepEqual(bad, []);
  assert.equal(addressOf(onPage(view, "errors")), "errors?partial=1");
  assert.equal(addressOf({ ...view, isPartial: false }), "routes");
  assert.deepEqual(read("?partial=yes"), { view: read("").view, bad: ["partial=yes"] });
});
