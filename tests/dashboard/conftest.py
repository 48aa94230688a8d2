"""One service with two days of events, and one browser, for all tests of the dashboard."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from apimetry.cli.demo.history import past_events
from apimetry.cli.demo.traffic import Schedule, Traffic
from tests.support import browser as browsers
from tests.support.services.keys import ADMIN_KEY, READ_KEY, WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, running, wait_for_total

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "javascript:alert(3)",
    "<b>" + "A" * 8000,
    "\u202eevil\r\n\x1b[2J",
)

FORGOTTEN = "/v1/forgotten"


def pytest_collection_modifyitems(items):
    if not browsers.CHROMIUM.exists():
        reason = f"{browsers.CHROMIUM} is not installed; APIMETRY_TEST_CHROMIUM names a browser"
        assert not browsers.IS_REQUIRED, reason
        for item in items:
            if item.path.parent.name == "dashboard" and item.path.parent.parent.name == "tests":
                item.add_marker(pytest.mark.skip(reason=reason))


def send(collector_url, events):
    body = json.dumps(events).encode()
    headers = {"Content-Type": "application/json", "X-API-Key": WRITE_KEY}
    request = urllib.request.Request(f"{collector_url}/1/event/", body, headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.load(response)["rejected"] == 0


def hostile_events(now):
    """Events with a hostile text in every field that takes text."""
    for number, text in enumerate(HOSTILE):
        yield {
            "timestamp": now - 60 - number,
            "method": "GET",
            "url": text,
            "route": text,
            "function": text,
            "status_code": 500,
            "response_us": 1000,
            "consumer_id": text,
            "error_type": text,
            "source": text,
            "version": text,
            "user_agent": text,
            "data": {text[:100]: text},
        }


def forgotten_events(now):
    """Requests of a route that has none since."""
    for number in range(3):
        yield {
            "timestamp": now - 40 * 3600 - number,
            "method": "GET",
            "url": FORGOTTEN,
            "route": FORGOTTEN,
            "status_code": 200,
            "response_us": 1000,
        }


def last_hours(hours):
    """A span in the address, which no clock moves: the page does not refresh it."""
    end = int(time.time()) // 60 * 60
    return f"start={end - hours * 3600}&end={end}"


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A running `apimetry serve` with a deploy and an incident in its last two days."""
    with running("serve", data_dir=tmp_path_factory.mktemp("dashboard"), **BOOTSTRAP) as serve:
        now = int(time.time())
        schedule = Schedule("2.4.1", "2.5.0", now - 7200, now - 3600, now - 20_000, now - 19_000)
        traffic = Traffic(schedule, 5)
        events = list(past_events(traffic, schedule, now - 2 * 86_400, now, 0.1))
        events += [*hostile_events(now), *forgotten_events(now)]
        for first in range(0, len(events), 2000):
            send(serve.collector_url, events[first : first + 2000])
        wait_for_total(serve, serve.query_url, len(events))
        yield serve


@pytest.fixture(scope="module")
def chromium():
    # Not longer: while Playwright runs, its event loop runs in this thread, and no test may run one of its own.
    with browsers.running_chromium() as browser:
        yield browser


@pytest.fixture
def visit(service, chromium):
    """Open pages of the dashboard; at the end no page may have done what none may do."""
    visits = []

    def start(key=READ_KEY, kind="read", **options):
        visits.append(browsers.Visit(chromium, service.query_url, key, kind, **options))
        return visits[-1]

    yield start
    for visit in visits:
        visit.close()


@pytest.fixture
def admin_key():
    return ADMIN_KEY
