"""A question of a range with events, and the memory that remembers its rows."""

from __future__ import annotations

from datetime import datetime, timezone

from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.remembering import DAY_S, About, Memory
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import UsageQuery, Window
from apimetry.store.accounts.records import Application, RequestLimits
from apimetry.store.erasure import carry_out
from apimetry.store.jobs import Job, JobKind
from apimetry.store.statement import Statement
from tests.support.oracles.query_events import insert_events, random_events

START = 1_413_295_200 // DAY_S * DAY_S
SPAN_S = 2 * DAY_S
NOW = START + 30 * DAY_S
DAYS = 20_000
LIMITS = Limits(max_points=100_000, max_groups=1_000)
WHOLE = About("shop", ((START, START + SPAN_S),), DAYS)
COUNT = TimeseriesQuery(START, START + SPAN_S, ("count",))
SHOP = Application("shop", "o", "shop", DAYS, RequestLimits(), datetime(2014, 1, 1, tzinfo=timezone.utc))
BY_DAY = Statement("SELECT toDate(timestamp), count() FROM events GROUP BY 1")
TOTAL = Statement("SELECT count() FROM events WHERE application = {application:String}", {"application": "shop"})
EVENTS = random_events(1, 300, START, START + SPAN_S)


class Counted:
    """Asks a store, and keeps the SQL of the statements; `number` have read the events or their rollups."""

    def __init__(self, store):
        self._store = store
        self.statements = []

    def __call__(self, statement):
        self.statements.append(statement.sql)
        return self._store.ask(statement)

    @property
    def number(self):
        others = self.having("FROM changes") + self.having("system.processes")
        return len(self.statements) - others

    def having(self, text):
        """How many statements have the text."""
        return sum(text in sql for sql in self.statements)


def memory_of(store):
    """The memory of a service over this kind of store."""
    return Memory(10**6, store.inserts if store.embedded else None)


def outcomes(memory):
    _, statements = memory.collect()
    return {sample.labels["outcome"]: sample.value for sample in statements.samples}


def held_bytes(memory):
    held, _ = memory.collect()
    return held.samples[0].value


def count(memory, ask, query=COUNT, about=WHOLE):
    recalling = memory.recall(query, about, ask, NOW)
    return answer_timeseries(query, "shop", ask=recalling, limits=LIMITS, now=NOW)


def random_question(rng):
    start = START + rng.randrange(0, SPAN_S - 3 * 3600, 900)
    granularity = rng.choice([None, Granularity(900), Granularity(3600), Granularity(DAY_S)])
    return TimeseriesQuery(
        start,
        min(start + rng.choice([3 * 3600, 12 * 3600, DAY_S]), START + SPAN_S),
        (rng.choice(["count", "count", "mean", "max"]),),
        granularity=granularity,
        groups=rng.choice([(), ("method",), ("status_code",), ("consumer_id",), ("route",)]),
    )


def change(rng, store, events, number):
    """Change the stored events in a random way, and return those that are stored then."""
    kind = rng.choice(["late", "late", "import", "range", "consumer", "other"])
    if kind in ("late", "import", "other"):
        added = random_events(rng.random(), 1 if kind == "late" else 20, START, START + SPAN_S)
        insert_events(store, added, token=f"change-{number}")
        return events + added
    created_at = datetime(2014, 11, 1, tzinfo=timezone.utc)
    if kind == "consumer":
        consumer = rng.choice(["alice", "3f2a"])
        job = Job(f"j{number}", "o", "shop", JobKind.delete_consumer, created_at, consumer_id=consumer)
        remaining = [event for event in events if (event.application, event.consumer_id) != ("shop", consumer)]
    else:
        first = (START + rng.randrange(SPAN_S)) * 1_000_000
        last = first + rng.randrange(7_200) * 1_000_000
        job = Job(f"j{number}", "o", "shop", JobKind.delete_range, created_at, start_us=first, end_us=last)
        remaining = [event for event in events if event.application != "shop" or not first <= event.timestamp < last]
    carry_out(store, job, lambda _: None)
    return remaining


def usage_before(end, memory, ask):
    """The usage of the seventy days before `end`."""
    query, about = UsageQuery(Window(end - 70 * DAY_S, end)), About("shop", ((end - 70 * DAY_S, end),), DAYS)
    return answer_usage(query, SHOP, ask=memory.recall(end, about, ask, NOW), now=end)
