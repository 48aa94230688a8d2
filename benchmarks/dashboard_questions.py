"""Time to answer the questions of the dashboard at scale: medians and p95 of warm questions, down to JSON bytes.

    python benchmarks/dashboard_questions.py [--events 20000000] [--directory DIR] [--repeat 9]

The events are those of `query_scale.py`, whose `--directory` can be used again. Beside each question is `SELECT 1`
in the same run: the least that a statement takes. Nothing is remembered between questions.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import _scale_store
import query_scale
from msgspec.json import encode

from apimetry.query_api.breakdown.answer import answer_breakdown
from apimetry.query_api.breakdown.params import parse_breakdown
from apimetry.query_api.latency.answer import answer_latency
from apimetry.query_api.latency.params import parse_latency
from apimetry.query_api.values.answer import answer_values
from apimetry.query_api.values.params import parse_values
from apimetry.query_api.versions.answer import answer_versions
from apimetry.query_api.versions.params import parse_versions
from apimetry.store.client import Store

DAY_S, MONTH_S = 86_400, 30 * 86_400
ENDPOINTS: dict[str, tuple[Callable, Callable]] = {
    "breakdown": (parse_breakdown, answer_breakdown),
    "latency": (parse_latency, answer_latency),
    "values": (parse_values, answer_values),
    "versions": (parse_versions, answer_versions),
}
# Endpoint, seconds before the end, parameters, and the milliseconds that it may take (0: no limit is stated).
QUESTIONS = (
    ("breakdown", MONTH_S, "by=route&measures=requests,errorRate,p95Ms,timeShare&series=60", 120),
    ("breakdown", MONTH_S, "by=route&measures=requests,p95Ms&series=60&compare=previous&sort=change:requests", 250),
    ("breakdown", MONTH_S, "by=route,method&measures=requests,errorRate,meanMs&series=30", 250),
    ("breakdown", MONTH_S, "by=consumer_id&measures=requests,errors,bytes,firstSeen,lastSeen&series=24", 250),
    ("breakdown", MONTH_S, "by=consumer_id&having=new", 250),
    ("breakdown", MONTH_S, "by=consumer_id&having=silent", 250),
    ("breakdown", MONTH_S, "by=error_type,route,status_code&measures=requests,firstSeen,lastSeen", 250),
    ("breakdown", MONTH_S, "by=version&measures=requests,errorRate,meanMs,maxMs", 250),
    ("breakdown", MONTH_S, "by=status_class&measures=requests,p95Ms", 250),
    ("breakdown", DAY_S, "by=route&measures=requests,errors,p95Ms&series=24", 120),
    ("breakdown", DAY_S, "by=route,method&measures=requests,p95Ms,consumers", 0),
    ("breakdown", DAY_S, "by=url&measures=requests,p95Ms&include=route:/v1/resource7/{id}", 0),
    ("latency", MONTH_S, "granularity=43200", 100),
    ("latency", MONTH_S, "granularity=43200&include=route:/v1/resource7/{id}", 100),
    ("latency", MONTH_S, "compare=previous", 100),
    ("latency", DAY_S, "granularity=1440", 0),
    ("values", 7 * DAY_S, "field=route", 50),
    ("values", 7 * DAY_S, "field=route&search=resource7", 50),
    ("values", 7 * DAY_S, "field=consumer_id&search=consumer-7", 50),
    ("values", 7 * DAY_S, "field=error_type", 50),
    ("values", 7 * DAY_S, "field=url&search=resource7", 0),
    ("versions", MONTH_S, "", 100),
    ("versions", 7 * DAY_S, "include=source:web-1", 100),
)


def questions(store: Store, now: int) -> Iterator[tuple[str, Callable[[], bytes], int]]:
    """Return each question's text, the call that answers it down to JSON, and its limit in milliseconds."""
    for endpoint, span_s, text, limit_ms in QUESTIONS:
        parse, answer = ENDPOINTS[endpoint]
        pairs = [tuple(pair.split("=", 1)) for pair in text.split("&") if pair]
        query = parse([*pairs, ("start", str(now - span_s)), ("end", str(now))], now)

        def ask(query: object = query, answer: Callable = answer) -> bytes:
            return encode(answer(query, _scale_store.APPLICATION, ask=store.ask, now=now))

        yield f"{endpoint} {span_s // DAY_S} d {text}", ask, limit_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--directory", type=Path, help="keep the store here, and reuse it")
    parser.add_argument("--repeat", type=int, default=9)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = arguments.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        store = _scale_store.opened_with_events(directory, arguments.events)
        stack.callback(store.close)
        bare = query_scale.measured(lambda: store.query("SELECT 1"), arguments.repeat)
        print(f"load of the machine: {os.getloadavg()}; SELECT 1: {bare.median:.1f} ms, p95 {bare.p95:.0f}")
        print(f"{'median ms':>10}{'p95':>7}{'limit':>7}{'cpu':>7}{'kB':>7}  question")
        for name, question, limit_ms in questions(store, _scale_store.now_of(store)):
            times = query_scale.measured(question, arguments.repeat)
            size = len(question()) / 1000
            print(
                f"{times.median:>10.1f}{times.p95:>7.0f}{limit_ms or '-':>7}{times.cpu:>7.0f}{size:>7.0f}  {name}",
                flush=True,
            )


if __name__ == "__main__":
    main()
