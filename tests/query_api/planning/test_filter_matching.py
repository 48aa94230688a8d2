"""Filters pass the same events in this process as in the engine."""

from __future__ import annotations

import random
from dataclasses import replace

from apimetry.query_api.events.answer import answer_page
from apimetry.query_api.events.news import COLUMNS
from apimetry.query_api.events.params import EventsQuery
from apimetry.query_api.events.search import Bounds
from apimetry.query_api.planning.filter_matching import matcher
from apimetry.query_api.planning.filters import (
    DIMENSIONS,
    FILTER_PARAMETERS,
    MEASURED_FIELDS,
    TEXT_FIELDS,
    filters_of,
)
from tests.support.oracles.query_events import insert_events, random_events

START = 1_413_295_200
PLACES = {name: place for place, name in enumerate(COLUMNS)}
TEXTS = ["/ΑΣ", "/ας", "/İx", "/ẞ?", "/ß", "/A%_\\", "/a%_\\", "ALICE", "/Ünï", "0"]


def random_filters(rng, values):
    """The values of a query string with one to three filters."""
    collected = {name: [] for name in FILTER_PARAMETERS}
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(FILTER_PARAMETERS)
        if kind in ("include", "exclude"):
            field = rng.choice([*DIMENSIONS, "status_class"])
            value = f"{rng.randint(2, 5)}xx" if field == "status_class" else rng.choice(values[field])
            collected[kind].append(f"{field}:{value}")
        elif kind == "has":
            text = rng.choice(TEXTS)
            collected[kind].append(f"{rng.choice(TEXT_FIELDS)}:{rng.choice([text, text.lower(), text[1:]])}")
        elif kind == "between":
            least = rng.choice([0, 10, 40])
            limits = rng.choice([f"{least}..", f"..{least + 400}", f"{least}..{least + 400}"])
            collected[kind].append(f"{rng.choice(MEASURED_FIELDS)}:{limits}")
        else:
            collected[kind] = [str(rng.choice([0, 10, 40]) + 100_000 * (kind == "max_response_us"))]
    return filters_of(collected)


def test_random_filters_pass_what_the_engine_finds(embedded_store):
    rng = random.Random(11)
    events = [
        replace(event, application="shop", timestamp=START * 1_000_000 + number, url=rng.choice(TEXTS))
        for number, event in enumerate(random_events(11, 200, START, START + 1))
    ]
    insert_events(embedded_store, events)
    values = {field: [str(getattr(event, field)) for event in events] for field in DIMENSIONS}
    found_some = 0
    for _ in range(60):
        filters = random_filters(rng, values)
        query = EventsQuery(START, START + 1, filters, limit=500, fields=("timestamp",))
        clock, bounds = (lambda: 0.0), Bounds()
        page = answer_page(query, "shop", ask=embedded_store.ask, clock=clock, bounds=bounds)
        passes = matcher(filters, PLACES)
        chosen = [event for event in events if passes([getattr(event, name) for name in COLUMNS])]
        assert [event["timestamp"] for event in page["events"]] == [
            event.timestamp / 1_000_000 for event in reversed(chosen)
        ], filters
        found_some += 0 < len(chosen) < len(events)
    assert found_some > 20
