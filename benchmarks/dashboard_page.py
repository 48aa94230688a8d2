"""The dashboard in a real Chromium: bytes, first paint, a click to its numbers, many points, and memory over an hour.

    python benchmarks/dashboard_page.py [--loads 9] [--refreshes 360]

It runs `apimetry serve` with two days of generated events and two hours of 1,000 events a second, and prints the
budgets beside what was measured. The browser is that of the tests (`tests/support/browser.py`). An hour of a tab that
refreshes every 10 seconds has 360 refreshes: the page looks at an earlier hour, and its clock is moved forward until
that hour is over, so that every refresh has other numbers. Before that it shows live requests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from http import HTTPStatus
from pathlib import Path

from playwright.sync_api import CDPSession, Page, Route, expect

sys.path.insert(0, str(Path(__file__).parents[1]))

from apimetry.cli.demo.history import past_events
from apimetry.cli.demo.traffic import Schedule, Traffic
from apimetry.store import migrations
from apimetry.store.client import Store
from tests.support.browser import Visit, running_chromium
from tests.support.services.processes import (
    APPLICATION,
    BOOTSTRAP,
    READ_KEY,
    WRITE_KEY,
    Service,
    running,
    wait_for_total,
)

STATIC = Path(__file__).parents[1] / "query_api" / "apimetry" / "query_api" / "dashboard" / "static" / "assets"
POINTS = 43_200
EVENTS_PER_S = 1000
DENSE_S = 7200
LIVE_S = 30
EVENT = {"method": "GET", "url": "/items/7", "route": "/items/{id}", "status_code": 200, "response_us": 1200}
STORED_AFTER_MS = 1000
PATIENCE_MS = 300_000
# A dense history, as `benchmarks/export.py` makes one.
FILL = """INSERT INTO events (application, timestamp, method, url, route, function, status_code, response_us, ttfb_us,
  request_bytes, response_bytes, consumer_id, error_type, client_ip, user_agent, sample_weight, data, source, version,
  retention_days, user_agent_family) SELECT {application:String},
  fromUnixTimestamp64Micro(toInt64({start_us:Int64} + number * {every_us:UInt64}), 'UTC'),
  ['GET', 'POST', 'PUT'][1 + number % 3], concat('/items/', toString(number % 5000)),
  concat('/v1/', ['items', 'orders', 'carts', 'users', 'prices'][1 + number % 5], '/{id}'), 'endpoint',
  [200, 200, 200, 200, 404, 500][1 + number % 6], rand() % 2000000, rand() % 1000, NULL, rand() % 100000,
  concat('consumer-', toString(number % 900)), '', '', '', 1, map(), concat('web-', toString(number % 3)), '1.4.2',
  20000, 'Other' FROM numbers({first:UInt64}, {rows:UInt64})"""
CHARTS: tuple[tuple[str, str, dict[str, int]], ...] = (
    ("lines", "percentile_50", {"shop": 1}),
    ("bars", "status_class", {"2xx": 1, "4xx": 1, "5xx": 1}),
)
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
_TO_FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


def send(collector_url: str, events: list[dict[str, object]]) -> None:
    """Send events in batches."""
    for first in range(0, len(events), 2000):
        body = json.dumps(events[first : first + 2000]).encode()
        headers = {"Content-Type": "application/json", "X-API-Key": WRITE_KEY}
        with urllib.request.urlopen(urllib.request.Request(f"{collector_url}/1/event/", body, headers)):
            pass


def fill(folder: Path, end_s: int) -> None:
    """Store DENSE_S seconds of EVENTS_PER_S events before a time, in a new store."""
    store = Store(f"chdb://{folder}/store")
    store.open()
    migrations.migrate(store)
    start_us = (end_s - DENSE_S) * 1_000_000
    for first in range(0, DENSE_S * EVENTS_PER_S, 1_000_000):
        rows = min(1_000_000, DENSE_S * EVENTS_PER_S - first)
        parameters = {"application": APPLICATION, "start_us": start_us, "every_us": 1_000_000 // EVENTS_PER_S}
        settings = {"max_partitions_per_insert_block": 0, "max_execution_time": 0}
        store.command(FILL, {**parameters, "first": first, "rows": rows}, settings=settings)
    store.close()


def asset_bytes() -> int:
    """Return the bytes of scripts and styles, compressed with Brotli."""
    return sum(path.stat().st_size for path in STATIC.glob("app-*.br"))


def settled(page: Page) -> None:
    """Wait until no panel asks."""
    page.wait_for_load_state("networkidle")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def first_paints(visit: Visit, loads: int) -> list[float]:
    """Return the first contentful paint of warm loads, in milliseconds."""
    settled(visit.open())
    paints = []
    for _ in range(loads):
        settled(visit.open())
        paints.append(visit.page.evaluate(_PAINT))
    return paints


def filter_clicks(visit: Visit, clicks: int, collector_url: str) -> list[float]:
    """Return the milliseconds from a click that removes a filter to the new totals.

    An event comes before each click: no answer is one that the service remembers.
    """
    times_ms = []
    for number in range(clicks):
        page = visit.open(f"?range=24h&is=route:%2Fv1%2Fcheckout&is=method:{'GET' if number % 2 else 'POST'}")
        settled(page)
        send(collector_url, [{**EVENT, "timestamp": time.time()}])
        page.wait_for_timeout(STORED_AFTER_MS)
        button = page.get_by_role("button", name="Remove: route is /v1/checkout")
        with page.expect_response(lambda response: "/v1/summary" in response.url) as answered:
            began = time.perf_counter()
            button.click()
        answered.value.finished()
        page.evaluate(_TO_FRAME)
        times_ms.append(1000 * (time.perf_counter() - began))
    return times_ms


def drawing(visit: Visit, name: str, groups: dict[str, int]) -> float:
    """Return the processor time of drawing a chart with POINTS points again, in milliseconds.

    The chart is that whose question has `name` in its address. Its answer has these groups, with so many values each.
    """
    path = f"**/1/timeseries/**{name}**"
    end = int(time.time()) // 60 * 60
    times = [end - 60 * (POINTS - number) for number in range(POINTS)]
    body = {
        "groups": {
            group: [[at, *[900 + at // 60 % 97] * values] for at in times] for group, values in groups.items()
        },
        "start": times[0],
        "end": end,
        "granularity": 60,
    }
    few = redrawn(visit)
    visit.page.route(path, lambda route: route.fulfill(json=body))
    many = redrawn(visit)
    visit.page.unroute(path)
    return many - few


def redrawn(visit: Visit) -> float:
    """Return the processor time of the page's main thread for drawing all charts again, in milliseconds."""
    page = visit.open("?range=30d")
    settled(page)
    client = visit.context.new_cdp_session(page)
    client.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    client.send("Performance.enable")
    times_ms = []
    for width in (1400, 1440, 1400, 1440):
        before = tasks_s(client)
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(1000)
        times_ms.append(1000 * (tasks_s(client) - before))
    client.detach()
    return min(times_ms)


def tasks_s(client: CDPSession) -> float:
    """Return the processor time of the main thread so far, in seconds."""
    return {metric["name"]: metric["value"] for metric in client.send("Performance.getMetrics")["metrics"]}[
        "TaskDuration"
    ]


def heap_mb(visit: Visit) -> float:
    """Return the size of the page's heap after a collection, in MB."""
    client = visit.context.new_cdp_session(visit.page)
    client.send("HeapProfiler.collectGarbage")
    used: float = client.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    client.detach()
    return used


def refreshed(visit: Visit, refreshes: int) -> tuple[float, float]:
    """Return the heap before and after so many refreshes, which the page makes every ten seconds of its own clock."""
    behind_s = 10 * refreshes

    def earlier(route: Route) -> None:
        answer = route.fetch().json()
        route.fulfill(json={**answer, "now": answer["now"] - behind_s})

    visit.page.route("**/v1/me", earlier)
    visit.page.clock.install()
    page = visit.open("?range=1h")
    answered_all(page)
    before, shown = heap_mb(visit), totals(page)
    for _ in range(refreshes):
        with page.expect_response(lambda response: "/v1/summary" in response.url, timeout=PATIENCE_MS) as answered:
            page.clock.fast_forward(10_000)
        if answered.value.status != HTTPStatus.OK:
            raise RuntimeError(answered.value.text())
    answered_all(page)
    if totals(page) == shown:
        raise RuntimeError("the page shows the same numbers after an hour")
    return before, heap_mb(visit)


def answered_all(page: Page) -> None:
    """Wait until every panel has its answer; a page that refreshes every ten seconds is never idle for long."""
    expect(page.locator(".tile-row")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)


def totals(page: Page) -> str:
    """Return what the tiles say."""
    return page.locator(".tile-row").inner_text()


def live_heap_mb(visit: Visit, collector_url: str) -> float:
    """Return the heap of the page of requests after LIVE_S seconds of EVENTS_PER_S live ones."""
    page = visit.open("requests?range=1h&live=1")
    expect(page.get_by_text("Requests appear here as they arrive.")).to_be_visible()
    ends_s = time.time() + LIVE_S
    while time.time() < ends_s:
        began_s = time.time()
        send(collector_url, [{**EVENT, "timestamp": began_s} for _ in range(EVENTS_PER_S)])
        page.wait_for_timeout(max(0, 1000 * (1 - time.time() + began_s)))
    return heap_mb(visit)


def main() -> None:
    """Run everything and print one line for each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--refreshes", type=int, default=360)
    options = parser.parse_args()
    print(f"scripts and styles, Brotli       {asset_bytes() / 1024:8.1f} KiB   budget 80")
    now = int(time.time())
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        fill(folder, now)
        serve = stack.enter_context(running("serve", data_dir=folder, **BOOTSTRAP))
        schedule = Schedule("2.4.1", "2.5.0", now - 7200, now - 3600, now - 20_000, now - 19_000)
        events = list(past_events(Traffic(schedule, 5), schedule, now - 2 * 86_400, now, 0.1))
        send(serve.collector_url, events)
        wait_for_total(serve, serve.query_url, len(events) + DENSE_S * EVENTS_PER_S)
        with running_chromium() as chromium:
            measure(lambda **choices: Visit(chromium, serve.query_url, READ_KEY, **choices), serve, options)


def measure(visit_with, serve: Service, options: argparse.Namespace) -> None:  # noqa: ANN001 - a maker of visits
    """Measure in the browser."""
    desktop = visit_with()
    phone = visit_with(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    for name, visit in (("desktop", desktop), ("phone", phone)):
        paint = statistics.median(first_paints(visit, options.loads))
        print(f"first paint, {name:20s}{paint:8.0f} ms    budget 200", flush=True)
    clicks = filter_clicks(desktop, options.loads, serve.collector_url)
    print(f"filter click to new totals       {statistics.median(clicks):8.0f} ms    budget 400", flush=True)
    for kind, name, groups in CHARTS:
        print(
            f"drawing {POINTS} points, {kind:5s} {drawing(desktop, name, groups):12.0f} ms    budget 60", flush=True
        )
    live = live_heap_mb(desktop, serve.collector_url)
    print(f"heap after {LIVE_S} s of live requests   {live:8.1f} MB    budget 80", flush=True)
    before, after = refreshed(desktop, options.refreshes)
    print(f"heap after {options.refreshes} refreshes         {after:8.1f} MB    budget 80 (before: {before:.1f})")
    phone.context.close()
    desktop.context.close()


if __name__ == "__main__":
    main()
