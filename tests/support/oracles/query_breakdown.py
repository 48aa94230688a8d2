"""The answers of a plain reading of docs/api.md, "Breakdown": the oracle of the breakdown tests."""

from __future__ import annotations

from collections import defaultdict
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


def passes(event, query):
    """Whether an event is in the table of a BreakdownQuery; of filters it knows fields and their values."""
    if not query.start * 1_000_000 <= event.timestamp < query.end * 1_000_000:
        return False
    if query.search and query.search.lower() not in dimension(event, query.by[0]).lower():
        return False
    return all((_value(event, f.field) in f.values) is not f.excludes for f in query.filters)


def _value(event, field):
    """What a filter's values are compared with."""
    return event.status_code // 100 if field == "status_class" else getattr(event, field)


def grouped(events, query):
    """The events of each row by key, of the events of one application."""
    groups = defaultdict(list)
    for event in events:
        if passes(event, query):
            groups[key_of(event, query.by)].append(event)
    return dict(groups)


def time_spent(events):
    return sum(e.response_us * e.sample_weight for e in timed(events))


def exact_percentile_ms(events, number, value="response_us"):
    known = [(getattr(e, value), e.sample_weight) for e in events if getattr(e, value) is not None]
    return half_up(Fraction(percentile(known, number), 1000)) if known else None


def figure(measure, events, all_events):
    """The figure of a measure over the events of a row; percentiles are exact."""
    if measure == "requests":
        return weight(events)
    if measure == "errors":
        return weight(failed(events))
    if measure == "errorRate":
        return share(weight(failed(events)), weight(events))
    if measure == "share":
        return share(weight(events), weight(all_events))
    if measure == "meanMs":
        return half_up(mean_us(events) / 1000) if timed(events) else None
    if measure == "maxMs":
        return peak_ms(events) if timed(events) else None
    if measure == "ttfbP95Ms":
        return exact_percentile_ms(events, 95, "ttfb_us")
    if measure == "timeShare":
        return share(time_spent(events), time_spent(all_events)) if time_spent(all_events) else 0.0
    if measure == "bytes":
        return moved_bytes(events)
    return exact_percentile_ms(events, int(measure[1:-2]))
