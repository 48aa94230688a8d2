"""Measure a rule at many times in the past, by one statement.

A moment is a time at which a rule is evaluated; it measures the rule's window before it. A slot is the longest piece
of time that divides both the windows and the steps between moments. The statement counts in slots, and the slots of
each window are then added up.

Percentiles come from latency buckets: windows overlap, and no event is read twice. They are within 2 % of what the
evaluator measures (`planning.rows_sql`). All other values are the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd
from string import Template

from apimetry.query_api.alerting.measuring import value_of, window_columns, window_conditions, window_needs
from apimetry.query_api.alerting.rule_filters import filters_of_rule
from apimetry.query_api.planning.filter_sql import filter_parameters
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.latency_buckets import middle_of
from apimetry.query_api.planning.planner import Plan, plan
from apimetry.query_api.planning.rows_sql import Column, added_up, partial_rows, range_parameters, seconds
from apimetry.serving.errors import BadRequest
from apimetry.store.accounts.accounts import RequestLimits
from apimetry.store.alerts.records import AlertRule, Metric
from apimetry.store.rollups import BUCKETS_PER_DOUBLING
from apimetry.store.statement import Ask, Rows, Statement

DAY_S = 86400
FINE_STEP_S = 60
COARSE_STEP_S = 300
MAX_SLOTS = 20_000
MAX_FILLED_BUCKETS = 1_000_000
"""Latency buckets that are held at once, over all slots: some 100 MB."""

_Place = tuple[Sequence[int], Sequence[int], int]
"""Of one place: latency buckets, the requests in each, and the highest latency in µs."""

# More than the bucket of the highest number of 64 bits.
_LATENCIES = 64 * BUCKETS_PER_DOUBLING + 1

_SLOT_OF_EVENTS = "intDiv(toUnixTimestamp64Micro(timestamp) - {start_us:Int64}, {slot_us:Int64})"
_SLOT_OF_ROLLUP = Template("intDiv($seconds - {start_s:Int64}, {slot_s:Int64})")
_SUMS = Template("""SELECT $place AS place, $requests, $measure
FROM ($rows) AS part
WHERE part.slot % {stride:Int64} < {kept:Int64}
GROUP BY place""")
_BUCKETS = Template("""SELECT place, groupArray(latency), groupArray(requests), max(high)
FROM (
  SELECT $place AS place, toUInt16($per_doubling * log2(part.value + 1.0)) AS latency,
    sum(part.weight) AS requests, max(part.value) AS high
  FROM ($rows) AS part
  WHERE part.slot % {stride:Int64} < {kept:Int64}
  GROUP BY place, latency
  LIMIT {row_limit:UInt64}
)
GROUP BY place""")


@dataclass(frozen=True)
class Moments:
    """`count` moments, `step_s` seconds apart, the first at `first`, in seconds since the epoch."""

    first: int
    step_s: int
    count: int

    @property
    def last(self) -> int:
        """Return the last moment."""
        return self.first + (self.count - 1) * self.step_s

    def times(self) -> range:
        """Return all moments."""
        return range(self.first, self.last + 1, self.step_s)


@dataclass(frozen=True)
class _Slots:
    """The n-th window has the places `[n * stride, n * stride + width)`. A place is a slot, or a whole window."""

    slot_s: int
    slots: int
    place: str
    stride: int
    width: int
    kept: int


def moments_until(now: int, days: int) -> Moments:
    """Return the moments of the last `days`: every minute of one day, every five minutes of several."""
    step_s = FINE_STEP_S if days == 1 else COARSE_STEP_S
    last = now // step_s * step_s
    count = days * DAY_S // step_s
    return Moments(last - (count - 1) * step_s, step_s, count)


def past_values(rule: AlertRule, moments: Moments, limits: RequestLimits, *, ask: Ask) -> Iterator[float | None]:
    """Return the value of the rule at every moment; None where it says nothing. Blocks while `ask` does.

    Raises:
        BadRequest: the question needs more than MAX_SLOTS slots or MAX_FILLED_BUCKETS latency buckets.
    """
    slots = _slots_of(rule, moments)
    if slots.slots > MAX_SLOTS:
        raise BadRequest(
            f"The preview needs {slots.slots} points; at most {MAX_SLOTS} are allowed: ask for fewer days, or for a"
            f" windowS of a whole number of {COARSE_STEP_S} seconds"
        )
    rows = ask(_statement(rule, moments, slots))
    if rule.percentile is None:
        measured = _sums(slots, moments.count, rows)
    else:
        _check_filled(rows)
        measured = _percentiles(rule.percentile, slots, moments.count, rows)
    return (value_of(rule, requests, measure, limits) for requests, measure in measured)


def _slots_of(rule: AlertRule, moments: Moments) -> _Slots:
    step_s, window_s = moments.step_s, rule.window_s
    slot_s = gcd(step_s, window_s)
    stride, width = step_s // slot_s, window_s // slot_s
    if window_s <= step_s:
        # Windows do not overlap: what is between them is left out, and each window is one place.
        return _Slots(slot_s, moments.count, "intDiv(part.slot, {stride:Int64})", 1, 1, width)
    return _Slots(slot_s, (moments.count - 1) * stride + width, "part.slot", stride, width, stride)


def _statement(rule: AlertRule, moments: Moments, slots: _Slots) -> Statement:
    filters = filters_of_rule(rule)
    start, end = moments.first - rule.window_s, moments.last
    chosen = Plan(start, end)
    if rule.metric is not Metric.latency_percentile:
        chosen = plan(window_needs(rule, filters, start, end, Granularity(slots.slot_s, start)))
    slot = Column("slot", _SLOT_OF_EVENTS, _SLOT_OF_ROLLUP.substitute(seconds=seconds(chosen)))
    columns, measure = window_columns(rule.metric, chosen)
    rows = partial_rows(chosen, [slot, *columns], window_conditions(rule, filters))
    parameters: dict[str, object] = {
        "application": rule.application_id,
        **range_parameters(chosen),
        **filter_parameters(filters),
        "start_s": start,
        "slot_s": slots.slot_s,
        "slot_us": slots.slot_s * 1_000_000,
        "stride": moments.step_s // slots.slot_s,
        "kept": slots.kept,
        "row_limit": MAX_FILLED_BUCKETS + 1,
    }
    if rule.metric is Metric.latency_percentile:
        sql = _BUCKETS.substitute(place=slots.place, rows=rows, per_doubling=BUCKETS_PER_DOUBLING)
    else:
        sql = _SUMS.substitute(place=slots.place, rows=rows, requests=added_up(chosen), measure=measure)
    return Statement(sql, parameters)


def _check_filled(rows: Rows) -> None:
    if sum(len(latencies) for _, latencies, *_ in rows) > MAX_FILLED_BUCKETS:
        raise BadRequest(
            f"The preview needs more than {MAX_FILLED_BUCKETS} latency buckets: ask for fewer days, or for a windowS"
            f" of a whole number of {COARSE_STEP_S} seconds"
        )


def _sums(slots: _Slots, count: int, rows: Rows) -> Iterator[tuple[int, float]]:
    """Return (requests, measure) of every window."""
    measured = {place: (requests, measure) for place, requests, measure in rows}
    places = [measured.get(place, (0, 0)) for place in range((count - 1) * slots.stride + slots.width)]
    requests = [0, *accumulate(requests for requests, _ in places)]
    measures = [0, *accumulate(measure for _, measure in places)]
    for first in range(0, count * slots.stride, slots.stride):
        after = first + slots.width
        yield requests[after] - requests[first], measures[after] - measures[first]


def _percentiles(percentile: int, slots: _Slots, count: int, rows: Rows) -> Iterator[tuple[int, float]]:
    """Return (requests, percentile in µs) of every window."""
    # A window's counts are those of the window before, plus the places that it gained, less those that it lost.
    places = {place: (latencies, requests, high) for place, latencies, requests, high in rows}
    counts = [0] * _LATENCIES
    counted = range(0)
    for first in range(0, count * slots.stride, slots.stride):
        window = range(first, first + slots.width)
        _add(counts, places, range(max(first, counted.stop), window.stop), 1)
        _add(counts, places, range(counted.start, min(first, counted.stop)), -1)
        counted = window
        below = list(accumulate(counts))
        requests = below[-1]
        if not requests:
            yield 0, 0.0
            continue
        bucket = bisect_left(below, -(-percentile * requests // 100))
        high = max(places[place][2] for place in window if place in places)
        yield requests, min(high, middle_of(bucket))


def _add(counts: list[int], places: Mapping[int, _Place], of: range, sign: int) -> None:
    for place in of:
        latencies, requests, _ = places.get(place, ((), (), 0))
        for latency, number in zip(latencies, requests, strict=True):
            counts[latency] += sign * number
