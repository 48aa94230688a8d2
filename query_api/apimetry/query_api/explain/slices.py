"""The part of a change that a slice of the requests makes, and which slices tell it best. Pure.

The parts of the slices of one dimension add up to the whole change. A count changes by the difference of its counts.
A rate changes because a slice has another rate (`by_rate`), or another share of the requests while its rate differs
from that of the whole (`by_mix`): with w the share of the requests, r the rate of the slice and R that of the whole,

    by_rate = w_now * (r_now - r_before)
    by_mix = (w_now - w_before) * (r_before - R_before)

A slice without requests in one range has there the rate of the whole, or of the other range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

LEAST_PART: Final = 0.01
"""A slice with a smaller part of the change is left out."""

NEARLY_ALL: Final = 0.95
"""A value that so much of the requests has in both ranges tells nothing."""

MAX_OVERLAP: Final = 0.1
"""The part of a slice's own change that other slices may have told already."""

_KNOWN_DIMENSIONS: Final = 3
_RAREST: Final = 1e-6


class Counts(NamedTuple):
    """Sums over some requests. `latency_us` is about the `timed` ones."""

    requests: int = 0
    errors: int = 0
    latency_us: int = 0
    timed: int = 0


class Part(NamedTuple):
    """A part of a change; of a rate in two parts."""

    by_rate: float
    by_mix: float

    @property
    def whole(self) -> float:
        """Return the change of both parts together."""
        return self.by_rate + self.by_mix


@dataclass(frozen=True)
class Metric:
    """A figure of requests: a count, or with `per` a rate."""

    of: Callable[[Counts], int]
    per: Callable[[Counts], int] | None = None
    scale: float = 1

    def value(self, counts: Counts) -> float | None:
        """Return the figure; None where there is nothing to divide by."""
        if self.per is None:
            return self.of(counts)
        return self.scale * self.of(counts) / self.per(counts) if self.per(counts) else None


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "requests": Metric(lambda counts: counts.requests),
        "errors": Metric(lambda counts: counts.errors),
        "errorRate": Metric(lambda counts: counts.errors, lambda counts: counts.requests, 100),
        "meanMs": Metric(lambda counts: counts.latency_us, lambda counts: counts.timed, 1 / 1000),
    }
)


@dataclass(frozen=True)
class Slice:
    """The requests with some values in some dimensions, in the range and before."""

    values: Mapping[str, str]
    now: Counts
    before: Counts
    since_us: int = 0

    @property
    def items(self) -> frozenset[tuple[str, str]]:
        """Return the dimensions and their values."""
        return frozenset(self.values.items())


@dataclass(frozen=True)
class Cause:
    """A slice and its part of the change."""

    slice: Slice
    part: Part


def parts(slices: Sequence[Slice], whole: Slice, metric: Metric) -> list[Cause]:
    """Return the slices with their parts of the change of `whole`; nothing where it did not change."""
    now, before = metric.value(whole.now), metric.value(whole.before)
    if now is None or before is None or now == before:
        return []
    return [Cause(own, _part(own, whole, metric, now - before)) for own in slices]


def _part(own: Slice, whole: Slice, metric: Metric, change: float) -> Part:
    if metric.per is None:
        return Part((metric.of(own.now) - metric.of(own.before)) / change, 0.0)
    share_now = metric.per(own.now) / metric.per(whole.now)
    share_before = metric.per(own.before) / metric.per(whole.before)
    rate_of_all = metric.value(whole.before) or 0.0
    before = metric.value(own.before)
    rate_before = rate_of_all if before is None else before
    now = metric.value(own.now)
    rate_now = rate_before if now is None else now
    by_rate = share_now * (rate_now - rate_before)
    return Part(by_rate / change, (share_now - share_before) * (rate_before - rate_of_all) / change)


def telling(causes: Sequence[Cause], whole: Slice, limit: int) -> list[Cause]:
    """Return the slices that tell the most: large parts of the change in few of the requests, and no part twice.

    Of nested slices one is told. Two slices that share requests are told both only where their common part is small.
    """
    parts_of = {cause.slice.items: cause.part.whole for cause in causes}
    common = {item for cause in causes for item in cause.slice.items if _is_common(cause.slice, whole)}
    candidates = [cause for cause in causes if cause.part.whole >= LEAST_PART and not cause.slice.items & common]
    candidates.sort(key=lambda cause: _order(cause, whole))
    chosen: list[Cause] = []
    for cause in candidates:
        if len(chosen) == limit:
            break
        if all(_are_apart(cause.slice, other.slice, parts_of) for other in chosen):
            chosen.append(cause)
    return chosen


def _is_common(own: Slice, whole: Slice) -> bool:
    """Return whether the slice is one value, which nearly all requests have, now as before."""
    return len(own.values) == 1 and all(
        own_part.requests >= NEARLY_ALL * all_.requests
        for own_part, all_ in ((own.now, whole.now), (own.before, whole.before))
    )


def _order(cause: Cause, whole: Slice) -> tuple[object, ...]:
    """Return what sorts the most telling slice first; of equal ones that with the most values."""
    return -round(_score(cause, whole), 6), -len(cause.slice.values), sorted(cause.slice.items)


def _score(cause: Cause, whole: Slice) -> float:
    covered = (cause.slice.now.requests + cause.slice.before.requests) / (whole.now.requests + whole.before.requests)
    return cause.part.whole * -math.log2(min(max(covered, _RAREST), 1))


def _are_apart(own: Slice, other: Slice, parts_of: Mapping[frozenset[tuple[str, str]], float]) -> bool:
    if any(own.values[name] != other.values[name] for name in own.values.keys() & other.values.keys()):
        return True
    both = own.items | other.items
    if both in (own.items, other.items):
        return False
    smaller = min(abs(parts_of[own.items]), abs(parts_of[other.items]))
    # A common slice of more dimensions is not known. One of fewer requests than are compared is small.
    return len(both) <= _KNOWN_DIMENSIONS and abs(parts_of.get(both, 0.0)) <= MAX_OVERLAP * smaller
