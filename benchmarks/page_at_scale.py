"""Time from opening the Overview to its last panel, over many events, in a real Chromium; and its questions alone.

    python benchmarks/page_at_scale.py --directory DIR [--events 100000000] [--loads 9]

The events are those of `query_scale.py`, whose `--directory` can be used again. For each range of time the page is
opened once after the service's start, then again with nothing new, then again with a new event before each opening,
so that no answer comes from memory. The questions of the page are also sent without a browser, four at a time: warm,
with a new event, and as the first ones after a start of the service.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import _scale_store
from dashboard_page import send

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.browser import Visit, running_chromium
from tests.support.services.processes import BOOTSTRAP, READ_KEY, Service, running

RANGES = ("1h", "24h", "7d", "30d")
AT_A_TIME = 4
# The page's own clock, in milliseconds since the navigation began.
_ALL_ANSWERED = """() => document.querySelector('.tile-row') !== null
  && document.querySelector('[aria-busy=true]') === null && performance.now()"""


def opened_ms(visit: Visit, span: str) -> float:
    """Return the milliseconds from opening the Overview until all its panels have answers."""
    page = visit.open(f"?range={span}")
    milliseconds: float = page.wait_for_function(_ALL_ANSWERED).json_value()
    page.wait_for_load_state("networkidle")
    return milliseconds


def questions_of(visit: Visit, span: str) -> list[str]:
    """Return the addresses of the questions that the Overview asks."""
    addresses: list[str] = []
    visit.page.on("request", lambda request: addresses.append(request.url))
    opened_ms(visit, span)
    return [address for address in addresses if "/v1/" in address or "/1/" in address]


def asked_ms(addresses: Sequence[str]) -> float:
    """Return the milliseconds until all questions are answered, four at a time."""

    def ask(address: str) -> int:
        request = urllib.request.Request(address, headers={"X-API-Key": READ_KEY, "Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request) as response:
            return len(response.read())

    began = time.perf_counter()
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        list(threads.map(ask, addresses))
    return 1000 * (time.perf_counter() - began)


def with_new_event(serve: Service, measure: Callable[[], float]) -> float:
    """Store an event, wait until it is counted, and measure."""
    event = {"method": "GET", "url": "/v1/resource7/1", "route": "/v1/resource7/{id}", "status_code": 200}
    send(serve.collector_url, [{**event, "timestamp": time.time(), "response_us": 900}])
    time.sleep(1)
    return measure()


def asked_first_ms(directory: Path, settings: Mapping[str, str], addresses: Sequence[str]) -> float:
    """Start a service, and return the milliseconds until its first questions are answered, four at a time."""
    with running("serve", data_dir=directory, **settings) as serve:
        return asked_ms([f"{serve.query_url}/{address.split('/', 3)[3]}" for address in addresses])


def main() -> None:
    """Print one line for each range of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--loads", type=int, default=9)
    options = parser.parse_args()
    _scale_store.opened_with_events(options.directory, options.events).close()
    settings = {**BOOTSTRAP, "APIMETRY_BOOTSTRAP_APPLICATION": _scale_store.APPLICATION}
    print("milliseconds: page first, warm, with a new event (budget 600); questions warm (300), with a new event")
    addresses_of: dict[str, list[str]] = {}
    with running("serve", data_dir=options.directory, **settings) as serve, running_chromium() as chromium:
        visit = Visit(chromium, serve.query_url, READ_KEY)
        visit.open("settings")
        visit.page.wait_for_load_state("networkidle")
        for span in RANGES:
            first = opened_ms(visit, span)
            loads = range(options.loads)
            warm = statistics.median(opened_ms(visit, span) for _ in loads)
            changed = statistics.median(with_new_event(serve, lambda s=span: opened_ms(visit, s)) for _ in loads)
            addresses = addresses_of[span] = questions_of(visit, span)
            asked = statistics.median(asked_ms(addresses) for _ in loads)
            anew = statistics.median(with_new_event(serve, lambda a=addresses: asked_ms(a)) for _ in loads)
            line = f"{first:6.0f} {warm:6.0f} {changed:6.0f}   {len(addresses)} questions: {asked:6.0f} {anew:6.0f}"
            print(f"{span:4s} {line}", flush=True)
        visit.context.close()
    print("milliseconds: the questions after a start, least, median and most of three starts (800)")
    for span, addresses in addresses_of.items():
        cold = sorted(asked_first_ms(options.directory, settings, addresses) for _ in range(3))
        print(f"{span:4s} {cold[0]:6.0f} {cold[1]:6.0f} {cold[2]:6.0f}", flush=True)


if __name__ == "__main__":
    main()
