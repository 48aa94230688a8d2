"""The answers of a plain reading of docs/api.md, "Breakdown": the oracle of the breakdown tests."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from fractions import Fraction

from tests.support.oracles.query_events import percentile
from tests.support.oracles.query_usage import failed, half_up, mean_us, moved_bytes, peak_ms, share, timed, weight


def dimension(event, field):
    """The text of one dimension of an event."""
    if field == "status_class":
        return f"{event.status_code // 100}xx"
    return str(getattr(event, field))


def key_of(event, by):
    return tuple(dimension(event, field) for field in by)


def is_within(event, start, end):
    return start * 1_000_000 <= event.timestamp < end * 1_000_000


def passes(event, query):
    """Whether an event has what a BreakdownQuery asks for, at any time; of filters it knows fields and values."""
    if query.search and query.search.lower() not in dimension(event, query.by[0]).lower():
        return False
    return all((_value(event, f.field) in f.values) is not f.excludes for f in query.filters)


def _value(event, field):
    """What a filter's values are compared with."""
    return event.status_code // 100 if field == "status_class" else getattr(event, field)


def grouped(events, query, start=None, end=None):
    """The events of each row by key, of the events of one application, in the query's range or another one."""
    groups = defaultdict(list)
    for event in events:
        if is_within(event, query.start if start is None else start, end or query.end) and passes(event, query):
            groups[key_of(event, query.by)].append(event)
    return dict(groups)


def time_spent(events):
    return sum(e.response_us * e.sample_weight for e in timed(events))


def exact_percentile_ms(events, number, value="response_us"):
    known = [(getattr(e, value), e.sample_weight) for e in events if getattr(e, value) is not None]
    return half_up(Fraction(percentile(known, number), 1000)) if known else None


def mean_ms(events):
    return half_up(mean_us(events) / 1000) if timed(events) else None


def percent_of(part, whole):
    return share(part, whole) if whole else 0.0


FIGURES = {
    "requests": lambda events, _: weight(events),
    "errors": lambda events, _: weight(failed(events)),
    "errorRate": lambda events, _: percent_of(weight(failed(events)), weight(events)),
    "share": lambda events, all_events: percent_of(weight(events), weight(all_events)),
    "meanMs": lambda events, _: mean_ms(events),
    "maxMs": lambda events, _: peak_ms(events) if timed(events) else None,
    "ttfbP95Ms": lambda events, _: exact_percentile_ms(events, 95, "ttfb_us"),
    "timeShare": lambda events, all_events: percent_of(time_spent(events), time_spent(all_events)),
    "bytes": lambda events, _: moved_bytes(events),
    "consumers": lambda events, _: len({e.consumer_id for e in events} - {""}),
}


def figure(measure, events, all_events):
    """The figure of a measure over the events of a row; percentiles are exact."""
    if measure in FIGURES:
        return FIGURES[measure](events, all_events)
    return exact_percentile_ms(events, int(measure[1:-2]))


def seen_at(events, precision):
    """The possible times of the first and the last event: of each the time itself, or the beginning of its hour."""
    of_hour = (lambda us: us - us % 3_600_000_000) if precision == "hour" else (lambda us: us)
    ends = min(e.timestamp for e in events), max(e.timestamp for e in events)
    return [{iso(us), iso(of_hour(us))} for us in ends]


def iso(time_us):
    whole = datetime.fromtimestamp(time_us // 1_000_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{time_us % 1_000_000:06}Z" if time_us % 1_000_000 else f"{whole}Z"


def in_buckets(events, starts, end):
    """The requests between each start and the next one, the last of them before `end`."""
    return [
        weight([e for e in events if is_within(e, start, until)])
        for start, until in zip(starts, [*starts[1:], end], strict=True)
    ]
