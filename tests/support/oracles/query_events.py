"""Events for queries, and the answers of a plain reading of docs/api.md: the oracle of the query service's tests."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import astuple, dataclass, field, fields
from fractions import Fraction

from apimetry.query_api.planning.filters import Bound, Contains
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import encode_block


@dataclass(frozen=True)
class Event:
    """One row of `events`, in the order of ROW_COLUMNS."""

    application: str = "shop"
    timestamp: int = 0
    method: str = "GET"
    url: str = "/"
    route: str = "/"
    function: str = "unknown"
    status_code: int = 200
    response_us: int | None = 0
    ttfb_us: int | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    consumer_id: str = ""
    error_type: str = ""
    client_ip: str = ""
    user_agent: str = ""
    sample_weight: int = 1
    data: dict = field(default_factory=dict)
    source: str = ""
    version: str = ""
    # The examples of the timeseries API ask about 2014: kept until 2069, within what a DateTime holds.
    retention_days: int = 20_000
    user_agent_family: str = ""


assert tuple(field.name for field in fields(Event)) == tuple(ROW_COLUMNS)


def insert_events(store, events, token="token"):
    store.insert_rows(token, encode_block(ROW_COLUMNS, zip(*map(astuple, events), strict=True)))


def random_events(seed, count, start_s, end_s):
    """Events of two applications, on few seconds and many, with nulls, weights and equal values."""
    rng = random.Random(seed)
    # Of its own, so that the other values stay what they were.
    of_clients = random.Random(seed + 1)

    def maybe(value):
        return value if rng.random() < 0.7 else None

    def event():
        # Nobody ever measured the times of one route and of one consumer.
        route, consumer_id = rng.choice(["/items/{id}", "/", ""]), rng.choice(["", "alice", "bob", "3f2a"])
        # Nobody but the collector knows the family of a text: here both are the same.
        agent = of_clients.choice(["", "", "curl", "Chrome"])
        response_us = maybe(rng.choice([rng.randrange(50), rng.randrange(2_000_000)]))
        return Event(
            application=rng.choice(["shop", "shop", "shop", "other"]),
            timestamp=rng.randrange(start_s * 1_000_000, end_s * 1_000_000),
            method=rng.choice(["GET", "GET", "POST", "DELETE"]),
            url=f"/items/{rng.randrange(12)}?q=ü",
            route=route,
            function=rng.choice(["list_items", "unknown"]),
            status_code=rng.choice([200, 200, 201, 404, 500, 503]),
            response_us=None if route == "" or consumer_id == "bob" else response_us,
            ttfb_us=maybe(rng.randrange(1000)),
            request_bytes=maybe(rng.randrange(5)),
            response_bytes=maybe(rng.randrange(10**9)),
            consumer_id=consumer_id,
            error_type=rng.choice(["", "ValueError"]),
            sample_weight=rng.choice([1, 1, 1, 2, 10, 1000]),
            source=rng.choice(["api", "worker"]),
            version=rng.choice(["1.0", "1.1"]),
            user_agent=agent,
            user_agent_family=agent,
            client_ip=of_clients.choice(["", "192.0.2.0", "2001:db8::"]),
        )

    return [event() for _ in range(count)]


def expected_answer(events, query, application="shop"):
    """The answer to a TimeseriesQuery, by counting."""
    chosen = [e for e in events if e.application == application and _counts(e, query)]
    groups = defaultdict(lambda: defaultdict(list))
    for event in chosen:
        second = event.timestamp // 1_000_000
        bucket = query.granularity.floor(second) if query.granularity else query.start
        groups[tuple(_key(event, group) for group in query.groups)][bucket].append(event)
    if not query.groups:
        groups[()]  # the one group is always there
    weights = {key: sum(e.sample_weight for b in buckets.values() for e in b) for key, buckets in groups.items()}
    largest = sorted(groups, key=lambda key: (-weights[key], key))[: query.limit]
    answer = {
        "groups": {_name(key, application): _points(groups[key], query) for key in largest},
        "start": query.start,
        "end": query.end,
        "granularity": query.granularity_ms,
    }
    if len(query.aggregations) > 1:
        answer["aggregations"] = list(query.aggregations)
    if query.limit is not None:
        answer["omitted_groups"] = len(groups) - len(largest)
    if query.rest:
        rest = defaultdict(list)
        for key in groups.keys() - set(largest):
            for bucket, inside in groups[key].items():
                rest[bucket] += inside
        answer["rest"] = _points(rest, query)
    return answer


def _name(key, application):
    if not key:
        return application
    return key[0] if len(key) == 1 else json.dumps(key, ensure_ascii=False, separators=(",", ":"))


def _key(event, group):
    return f"{event.status_code // 100}xx" if group == "status_class" else str(getattr(event, group))


def _counts(event, query):
    if not query.start * 1_000_000 <= event.timestamp < query.end * 1_000_000:
        return False
    if not {"count", "consumers"} & {*query.aggregations} and getattr(event, query.value) is None:
        return False
    return all(passes(event, filter_) for filter_ in query.filters)


def passes(event, filter_):
    """Whether an event passes a filter."""
    if isinstance(filter_, Contains):
        return filter_.text.lower() in getattr(event, filter_.field).lower()
    if isinstance(filter_, Bound):
        value = getattr(event, filter_.field)
        return value is not None and (value <= filter_.limit if filter_.is_upper else value >= filter_.limit)
    return (_value_of(event, filter_.field) in filter_.values) is not filter_.excludes


def _value_of(event, field):
    return event.status_code // 100 if field == "status_class" else getattr(event, field)


def _points(buckets, query):
    points = {bucket: [_aggregate(events, aggregation, query.value) for aggregation in query.aggregations]
              for bucket, events in buckets.items()}  # fmt: skip
    if query.fill:
        empty = [0 if query.fill == "zero" else None] * len(query.aggregations)
        starts = query.granularity.starts(query.start, query.end) if query.granularity else [query.start]
        points = {start: points.get(start, empty) for start in starts}
    elif query.granularity is None and not points:
        points = {
            query.start: [
                0 if aggregation in ("count", "sum", "consumers") else None for aggregation in query.aggregations
            ]
        }
    return [[bucket, *points[bucket]] for bucket in sorted(points)]


def _aggregate(events, aggregation, value):
    if aggregation == "count":
        return sum(e.sample_weight for e in events)
    if aggregation == "consumers":
        return len({e.consumer_id for e in events} - {""})
    weighted = [(getattr(e, value), e.sample_weight) for e in events if getattr(e, value) is not None]
    total = sum(v * w for v, w in weighted)
    if not weighted:
        return 0 if aggregation == "sum" else None
    if aggregation.startswith("percentile_"):
        return percentile(weighted, Fraction(aggregation.removeprefix("percentile_")))
    return {
        "sum": total,
        "mean": total / sum(w for _, w in weighted),
        "min": min(v for v, _ in weighted),
        "max": max(v for v, _ in weighted),
    }[aggregation]


def percentile(weighted_values, p):
    """The smallest value with at least p % of the weight at or below it, in exact arithmetic."""
    ordered = sorted(weighted_values)
    weight_below = Fraction(p) / 100 * sum(weight for _, weight in ordered)
    below = 0
    for value, weight in ordered:
        below += weight
        if below >= weight_below:
            return value
    raise AssertionError("there is always one")
