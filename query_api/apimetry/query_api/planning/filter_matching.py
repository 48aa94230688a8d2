"""Filters on events that are already in this process: they pass the same events as `planning.filter_sql`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from apimetry.query_api.planning.filters import STATUS_CLASS, AnyFilter, Bound, Contains

Values = Sequence[Any]
Test = Callable[[Values], bool]


def matcher(filters: Iterable[AnyFilter], places: Mapping[str, int]) -> Test:
    """Return a function that tells whether the values of an event pass all `filters`.

    `places` has the place of each column among the values.
    """
    tests = [_test(filter_, places[filter_.column]) for filter_ in filters]

    def passes(values: Values) -> bool:
        return all(test(values) for test in tests)

    return passes


def _test(filter_: AnyFilter, place: int) -> Test:
    if isinstance(filter_, Bound):
        bound = filter_.limit
        if filter_.is_upper:
            return lambda values: values[place] is not None and values[place] <= bound
        return lambda values: values[place] is not None and values[place] >= bound
    if isinstance(filter_, Contains):
        # Python and the engine make small letters by the same rules of Unicode.
        text = filter_.text.lower()
        return lambda values: text in values[place].lower()
    allowed, excludes = frozenset(filter_.values), filter_.excludes
    if filter_.field == STATUS_CLASS:
        return lambda values: (values[place] // 100 in allowed) is not excludes
    return lambda values: (values[place] in allowed) is not excludes
