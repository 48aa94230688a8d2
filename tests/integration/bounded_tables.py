"""Tables of the query service that are filled with the largest values, to be run: prints how far the memory grows.

    python bounded_tables.py

The store is a stand-in that answers with the largest rows, or never.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime, timezone
from itertools import count
from types import SimpleNamespace

from prometheus_client.registry import CollectorRegistry

from apimetry.query_api.alerting.evaluator import MAX_DELIVERIES, Evaluator
from apimetry.query_api.alerting.rule_response import MAX_ADDRESS_CHARACTERS
from apimetry.query_api.engine import MAX_ENDING, Engine, _Query
from apimetry.query_api.events.batches import PLACES, Batch
from apimetry.query_api.events.live import LiveHandlers, parse_live
from apimetry.query_api.events.positions import Position
from apimetry.query_api.events.stream import Stream
from apimetry.query_api.kept_answers import KeptAnswers
from apimetry.query_api.me.figures import Figures, KeptFigures
from apimetry.query_api.planning.calendar import Calendar, checked_zone
from apimetry.query_api.planning.filters import Filter
from apimetry.query_api.queueing.askers import Client
from apimetry.query_api.queueing.fair_queue import MAX_IDLE, Asker
from apimetry.query_api.remembering import About
from apimetry.query_api.settings import LiveLimits, QuerySettings
from apimetry.query_api.timeseries.params import parse_timeseries
from apimetry.query_api.timeseries.reading import Limits, read_series
from apimetry.store.accounts.records import MAX_APPLICATIONS
from apimetry.store.alerts.alerts import MAX_FILTER_CHARACTERS, MAX_RULES
from apimetry.store.alerts.records import AlertEvent, AlertRule, Metric, Transition
from tests.integration.bounded_memory import WIDE, Growth, SilentStore

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
LIMITS, SETTINGS = LiveLimits(), QuerySettings()
CLIENT = Client(Asker("o", "k"), lambda: False)
ENGINE = Engine(SilentStore(), SETTINGS)
# A text of ASCII with one letter beyond it: four bytes a character in memory, and one in the store.
WIDENED = WIDE + "x" * 1000


def worst_question(number):
    """The filters of the longest query string, with the values that take the most."""
    return (Filter("url", tuple(chr(0x10000 + number) + chr(0x10000 + value) for value in range(700))),)


def fill_kept_answers(growth):
    with growth.of("kept answers"):
        answers = KeptAnswers(30), KeptAnswers(60)
        for table in answers:
            for number in range(300):
                table.keep(worst_question(number), bytes(20_000 if number % 2 else 1), 0.0)
    return answers


def fill_memory(growth):
    about = About("a" * 64, ((0, 60),), 30)
    with growth.of("remembered questions"):
        for number in range(2500):
            ENGINE.memory.recall(worst_question(number), about, SilentStore().query, 0)


def fill_figures(growth):
    with growth.of("figures"):
        figures = KeptFigures()
        figures.keep({f"{number:064d}": Figures(number, number, True, True) for number in range(MAX_APPLICATIONS)}, 0)
    return figures


def fill_zones(growth):
    with growth.of("time zones"):
        for name in ("Africa/Casablanca", "Asia/Gaza", "Europe/Dublin", "America/Scoresbysund"):
            Calendar("day", checked_zone(name)).offsets(0, 300 * 400 * 86_400)


async def fill_queue(growth):
    with growth.of("askers"):
        for number in range(MAX_IDLE + 50):
            async with ENGINE.queue.slot(Asker(f"{number:064d}", f"{number:024d}")):
                pass


async def fill_ending(growth):
    with growth.of("abandoned statements"):
        for _ in range(2 * MAX_ENDING):
            ENGINE._abandon(_Query(has_begun=True), asyncio.get_running_loop().create_future(), None)
        assert len(ENGINE._ending) == MAX_ENDING


class LargestPolls:
    """An engine whose store has new events at each poll: as many and as large as a poll reads."""

    def __init__(self):
        self._numbers = count(1)

    async def run(self, client, query, *arguments):
        self._base = 10**6 * next(self._numbers)
        return query(self._ask, *arguments)

    def _ask(self, statement):
        if statement.sql.startswith("SELECT count()"):
            return [(10**6,)]
        if "max_result_bytes" not in statement.settings:
            return [(self._base + number, 2**63 + self._base + number) for number in range(LIMITS.rows, 0, -1)]
        number_of_rows = LIMITS.result_bytes // (10 * len(WIDENED))
        return [
            (
                self._base + number,
                2**63 + self._base + number,
                *largest_row(number, {str(n): f"{n}{WIDENED}" for n in range(10)}),
            )
            for number in range(number_of_rows, 0, -1)
        ]


def wide_data():
    return {str(number): f"{number}{WIDENED}" for number in range(10)}


def largest_row(number, data):
    row = dict.fromkeys(PLACES, "")
    row |= {"url": str(number), "data": data, "status_code": 200, "sample_weight": 1}
    return tuple(row.values())


async def fill_feeds(growth):
    engine = LargestPolls()
    live = LiveHandlers(SimpleNamespace(engine=engine), lambda: 2e9, CollectorRegistry(), LIMITS)
    with growth.of("feeds of live streams"):
        for number in range(LIMITS.streams):
            feed = live._feed(f"{number:064d}")
            feed._users += 1
            for _ in range(3):
                await feed.poll(CLIENT)
    return live


def fill_streams(growth):
    query = parse_live([])
    data = {f"{number:064d}": "\x01" * 1024 for number in range(64)}
    events = [(Position(number, number, 1), largest_row(number, data)) for number in range(50)]
    batch = Batch(1, 1.0, events, 50)
    with growth.of("live streams"):
        streams = [Stream(query, CLIENT, None, clock=lambda: 0, limits=LIMITS) for _ in range(LIMITS.streams)]
        for stream in streams:
            for _ in range(12):
                stream.take(batch)
    return streams


def largest_rules():
    """The rules of an organization: 50 filters each, and the longest addresses."""
    characters = MAX_FILTER_CHARACTERS // MAX_RULES // 50 - len("url:")
    for number in range(MAX_RULES):
        filters = tuple(f"url:{number:05d}{value:02d}".ljust(characters + 4, WIDE) for value in range(50))
        address = f"https://example.com/{number}".ljust(MAX_ADDRESS_CHARACTERS, WIDE)
        name = f"{number:06d}" + WIDE * 194
        identity = f"{number:024d}"
        yield AlertRule(
            identity,
            "o" * 24,
            "a" * 64,
            name,
            Metric.error_rate,
            NOW,
            "whsec_" + "s" * 44,
            include=filters,
            webhook_url=address,
        )


class WaitingReceiver:
    """Messages that are on their way for ever."""

    def now_s(self):
        return 0

    async def deliver(self, rule, event, application):
        body = json.dumps([rule.name, *rule.include])
        await asyncio.Event().wait()
        return body


async def fill_alerting(growth):
    store = SilentStore()
    store.run = store.run_reserved
    alerts = SimpleNamespace(store=store, record_delivery=lambda *_, **__: None)
    evaluator = Evaluator(alerts, None, WaitingReceiver(), ask=None, owner="o")
    with growth.of("alert rules"):
        rules = list(largest_rules())
    with growth.of("messages of alerts"):
        for rule in rules:
            event = AlertEvent(rule.id, rule.id, "o", "a" * 64, 1, Transition.firing, NOW, NOW, 1.0, 1.0)
            evaluator._send(rule, event, None)
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert len(evaluator._deliveries) == MAX_DELIVERIES
    return evaluator


def fill_points(growth):
    """The answer to one question: the most points, each in a row that repeats the longest name of its group."""
    limits = Limits(SETTINGS.max_points, SETTINGS.max_groups)
    parameters = [("group", "url"), *(("aggregation", f"percentile_{number}") for number in (50, 75, 90, 95, 99))]
    query = parse_timeseries("0", "600", [*parameters, ("granularity", "60")], max_groups=SETTINGS.max_groups)
    name_bytes = SETTINGS.max_query_result_bytes // SETTINGS.max_points - 100

    def row(number):
        name = f"{number // 10:06d}{WIDE}".ljust(name_bytes - 3, "x")
        return name, 0, number % 10, *(number / 7 + n for n in range(5)), 10**4

    with growth.of("points of a question"):
        return read_series(query, "shop", ask=lambda _: list(map(row, range(SETTINGS.max_points))), limits=limits)


async def main():
    growth = Growth()
    held = [fill_kept_answers(growth), fill_memory(growth), fill_figures(growth), fill_zones(growth)]
    await fill_queue(growth)
    await fill_ending(growth)
    held += [await fill_alerting(growth), await fill_feeds(growth), fill_streams(growth)]
    held.append(fill_points(growth))
    print(json.dumps(growth.by_part))
    sys.stdout.flush()
    os._exit(0)  # messages and statements wait for ever


if __name__ == "__main__":
    asyncio.run(main())
