"""A search finds every event once, page after page, and says truly how far it came."""

from __future__ import annotations

import itertools
import random
import uuid
from dataclasses import replace

import pytest

from apimetry.query_api.events.answer import answer_event, answer_page
from apimetry.query_api.events.params import FIELDS, EventsQuery
from apimetry.query_api.events.positions import cursor_of, position_of_id
from apimetry.query_api.events.search import Bounds
from apimetry.query_api.planning.filters import Filter
from apimetry.store.errors import QueryLimitExceeded
from tests.support.oracles.query_events import Event, insert_events, random_events

START = 1_413_295_200
UNBOUNDED = Bounds(rows=10**12, time_s=10**6)


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


def page_of(store, query, application, *, bounds=UNBOUNDED, clock=None, ask=None):
    return answer_page(query, application, ask=ask or store.ask, clock=clock or Clock(), bounds=bounds)


def pages_of(store, query, application, *, between=lambda: None):
    """All pages of a query; `between` runs after each of them."""
    pages = [page_of(store, query, application)]
    while pages[-1]["next"]:
        between()
        pages.append(page_of(store, replace(query, after=cursor_of(pages[-1]["next"]).position), application))
        assert len(pages) < 10_000
    return pages


def as_shown(event):
    return {name: event.timestamp / 1_000_000 if name == "timestamp" else getattr(event, name) for name in FIELDS}


def without_id(event):
    return tuple(sorted((name, str(value)) for name, value in event.items() if name != "id"))


def crowded_events(seed, application):
    """Events at few times, many of which are equal in everything."""
    rng = random.Random(seed)
    few = [replace(event, application=application) for event in random_events(seed, 12, START, START + 2)]
    events = [replace(event, timestamp=START * 1_000_000 + rng.randrange(3)) for event in rng.choices(few, k=120)]
    spread = random_events(seed + 1, 40, START, START + rng.choice([5, 4000, 400_000]))
    return events + [replace(event, application=application) for event in spread]


def in_order(events, *, newest_first=True):
    return sorted((event["timestamp"] for event in events), reverse=newest_first)


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_have_every_event_once_in_order_also_equal_ones(store, newest_first):
    for seed in range(3):
        application = f"app{seed}"
        events = crowded_events(seed, application)
        insert_events(store, events, f"{application}{newest_first}")
        query = EventsQuery(START, START + 400_000, newest_first=newest_first, limit=(7, 30, 160)[seed])
        shown = [event for page in pages_of(store, query, application) for event in page["events"]]
        assert [event["timestamp"] for event in shown] == in_order(shown, newest_first=newest_first)
        assert sorted(map(without_id, shown)) == sorted(without_id(as_shown(event)) for event in events)
        assert len({event["id"] for event in shown}) == len(events)
        filtered = replace(query, filters=(Filter("status_code", (200,)), Filter("method", ("GET",), excludes=True)))
        shown = [event for page in pages_of(store, filtered, application) for event in page["events"]]
        expected = [event for event in events if event.status_code == 200 and event.method != "GET"]
        assert sorted(map(without_id, shown)) == sorted(without_id(as_shown(event)) for event in expected)


@pytest.mark.parametrize("newest_first", [True, False])
def test_events_that_arrive_between_pages_neither_hide_nor_repeat_those_that_were_there(store, newest_first):
    for seed in range(2):
        application = f"app{seed}"
        events = crowded_events(seed, application)
        insert_events(store, events, application)
        rng = random.Random(seed)

        events_now = list(events)

        def arrive(events=events, rng=rng, application=application, events_now=events_now):
            # Copies of stored events among them: they differ from what was there in nothing.
            late = [*rng.choices(events, k=5), Event(application, START * 1_000_000 + rng.randrange(3_000_000))]
            insert_events(store, late, uuid.uuid4().hex)
            events_now.extend(late)

        query = EventsQuery(START, START + 400_000, newest_first=newest_first, limit=30)
        shown = [event for page in pages_of(store, query, application, between=arrive) for event in page["events"]]
        counts = [_counted(map(without_id, shown))]
        counts += [_counted(without_id(as_shown(event)) for event in stored) for stored in (events, events_now)]
        shown_counts, at_first, at_last = counts
        assert all(at_first[key] <= shown_counts.get(key, 0) <= at_last[key] for key in at_first)
        assert len({event["id"] for event in shown}) == len(shown)


def _counted(keys):
    counts = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return counts


def test_deleted_copies_of_an_event_take_no_other_event_with_them(store):
    same = Event(timestamp=START * 1_000_000 + 5, url="/same")
    others = [Event(timestamp=START * 1_000_000 + number, url=f"/{number}") for number in range(5)]
    insert_events(store, [same] * 6 + others)
    query = EventsQuery(START, START + 10, limit=4)
    first = page_of(store, query, "shop")
    assert [event["url"] for event in first["events"]] == ["/same"] * 4
    store.command("ALTER TABLE events DELETE WHERE url = '/same' SETTINGS mutations_sync = 2")
    second = page_of(store, replace(query, after=cursor_of(first["next"]).position), "shop")
    assert [event["url"] for event in second["events"]] == ["/4", "/3", "/2", "/1"]


def test_each_id_answers_its_event_and_no_other_applications(store):
    events = crowded_events(5, "shop")
    insert_events(store, events)
    query = EventsQuery(START, START + 400_000, limit=500)
    for shown in page_of(store, query, "shop")["events"][::9]:
        position = position_of_id(shown["id"])
        assert answer_event(position, query, "shop", ask=store.ask) == shown
        assert answer_event(position, query, "other", ask=store.ask) is None
        beyond = replace(position, copies=position.copies + 1000)
        assert answer_event(beyond, query, "shop", ask=store.ask) is None


@pytest.fixture
def sparse(embedded_store):
    """A store with two events, one of them 20 days before the other, and a hundred others in between."""
    day_us = 86_400_000_000
    begin_us = START * 1_000_000
    insert_events(
        embedded_store,
        [
            Event(timestamp=begin_us + 1, url="/old"),
            *(Event(timestamp=begin_us + day_us // 5 * number, status_code=404) for number in range(1, 101)),
            Event(timestamp=begin_us + 20 * day_us, url="/new"),
        ],
    )
    return embedded_store


RARE = EventsQuery(START, START + 20 * 86_400 + 1, (Filter("url", ("/old", "/new")),))


class Slow:
    """Answer like the store, and let one second pass for each statement about events."""

    def __init__(self, store, clock, *, too_slow=False):
        self._store, self._clock, self._too_slow = store, clock, too_slow
        self.statements = []

    def __call__(self, statement):
        self.statements.append(statement)
        if "row_hash" in statement.sql:
            self._clock.now_s += 1
            if self._too_slow and statement.settings:
                raise QueryLimitExceeded("too slow")
        return self._store.ask(statement)


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_search_that_runs_out_of_time_says_how_far_it_came_and_goes_on_there(sparse, newest_first):
    clock = Clock()
    query = replace(RARE, newest_first=newest_first)
    urls, searched, pages = [], [], 0
    while True:
        page = page_of(sparse, query, "shop", clock=clock, ask=Slow(sparse, clock), bounds=Bounds(rows=15, time_s=20))
        urls += [event["url"] for event in page["events"]]
        searched.append((page["searched"]["start"], page["searched"]["end"]))
        pages += 1
        if page["next"] is None:
            break
        assert page["complete"] is False
        query = replace(query, after=cursor_of(page["next"]).position)
    assert page["complete"] is True
    assert urls == (["/new", "/old"] if newest_first else ["/old", "/new"])
    assert pages > 5
    edges = sorted(searched)
    assert (edges[0][0], edges[-1][1]) == (RARE.start, RARE.end)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(edges))


def test_a_statement_that_takes_too_long_ends_the_search_where_it_was(sparse):
    clock = Clock()
    page = page_of(sparse, RARE, "shop", clock=clock, ask=Slow(sparse, clock, too_slow=True), bounds=Bounds())
    assert [event["url"] for event in page["events"]] == ["/new"]
    assert page["complete"] is False
    assert page["searched"] == {"start": RARE.end - 60, "end": RARE.end}


def test_a_small_rest_is_searched_with_one_statement(sparse):
    ask = Slow(sparse, Clock())
    page = page_of(sparse, RARE, "shop", ask=ask)
    assert [event["url"] for event in page["events"]] == ["/new", "/old"]
    assert (page["complete"], page["next"]) == (True, None)
    assert page["searched"] == {"start": RARE.start, "end": RARE.end}
    assert len(ask.statements) == 3


def test_a_full_page_was_searched_to_its_last_event(sparse):
    page = page_of(sparse, replace(RARE, filters=(), limit=1), "shop")
    assert (page["complete"], len(page["events"])) == (True, 1)
    assert page["searched"] == {"start": RARE.end - 1, "end": RARE.end}
    assert page["next"] is not None


def test_a_page_that_ends_with_the_last_event_has_no_next(sparse):
    page = page_of(sparse, replace(RARE, limit=2), "shop")
    assert (len(page["events"]), page["next"]) == (2, None)
