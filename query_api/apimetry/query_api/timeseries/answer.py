"""Answer a timeseries query: ask the store, and make JSON of its series (docs/api.md, "Timeseries API")."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from msgspec.json import encode

from apimetry.query_api.planning.completeness import completeness
from apimetry.query_api.planning.presentation import Cell, FlatRow, Presentation, previous_cells
from apimetry.query_api.timeseries.comparison import Earlier, read_earlier
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Key, Limits, Reading, Series, read_series
from apimetry.query_api.timeseries.response import Point, PreviousPeriod, Timeseries
from apimetry.store.statement import Ask


def answer_timeseries(
    query: TimeseriesQuery, application: str, *, ask: Ask, limits: Limits, now: int | None = None
) -> Timeseries:
    """Return the response about `application`; `now` is the time of the query, if known. Blocks while `ask` does.

    With `limit`, `omitted_groups` is the number of groups that are not in the response. With `compare`, `previous`
    has the groups of the earlier period (see `comparison`).

    Raises:
        BadRequest: the response would be over `limits`.
    """
    reading = read_series(query, application, ask=ask, limits=limits, now=now)
    answer: Timeseries = {
        "groups": _groups(reading, application, query.shown),
        "start": query.shown.time(query.start),
        "end": query.shown.time(query.end),
        "granularity": query.granularity_ms,
    }
    if len(query.aggregations) > 1:
        answer["aggregations"] = list(query.aggregations)
    if query.rest:
        answer["rest"] = _points(reading.rest, query.shown)
    if query.limit is not None:
        answer["omitted_groups"] = reading.omitted
    if query.completeness:
        answer["completeness"] = completeness(application, query.start, query.end, ask=ask)
    if query.compare:
        earlier = _earlier(query, reading, application, ask, limits)
        answer["previous"] = _previous(query, earlier, application)
    return answer


def answer_rows(
    query: TimeseriesQuery, application: str, *, ask: Ask, limits: Limits, now: int | None = None
) -> list[FlatRow]:
    """Return the response as flat records: one for each point. Blocks while `ask` does.

    A record has `time`, the fields of the group, and `value`, or one value for each of several aggregations under its
    name. With `compare`, it also has those of the earlier period. Records of the rest have null for the group.

    Raises:
        BadRequest: the response would be over `limits`.
    """
    reading = read_series(query, application, ask=ask, limits=limits, now=now)
    earlier = _earlier(query, reading, application, ask, limits).reading if query.compare else None
    keys = dict.fromkeys((*reading.groups, *(earlier.groups if earlier else ())))
    rows = []
    for key in keys:
        fields = dict(zip(query.groups, key, strict=True))
        before = earlier.groups.get(key, {}) if earlier else None
        rows += _rows(query, fields, reading.groups.get(key, {}), before)
    rest = _rows(query, dict.fromkeys(query.groups), reading.rest, earlier.rest if earlier else None)
    return [*rows, *(rest if query.omits else ())]


def _rows(query: TimeseriesQuery, fields: Mapping[str, Cell], series: Series, before: Series | None) -> list[FlatRow]:
    names = query.aggregations if len(query.aggregations) > 1 else ("value",)
    nothing = (None,) * (1 + len(names))
    rows = []
    for time_s in sorted({*series, *(before or ())}):
        figures = dict(zip(names, series.get(time_s, nothing)[1:], strict=True))
        row: FlatRow = {"time": query.shown.time(time_s), **fields, **figures}
        if before is not None:
            row |= previous_cells(names, dict(zip(names, before.get(time_s, nothing)[1:], strict=True)))
        rows.append(row)
    return rows


def _earlier(query: TimeseriesQuery, reading: Reading, application: str, ask: Ask, limits: Limits) -> Earlier:
    return read_earlier(query, reading, partial(read_series, application=application, ask=ask, limits=limits))


def _previous(query: TimeseriesQuery, earlier: Earlier, application: str) -> PreviousPeriod:
    answer: PreviousPeriod = {
        "groups": _groups(earlier.reading, application, query.shown),
        "start": query.shown.time(earlier.start),
        "end": query.shown.time(earlier.end),
    }
    if query.rest:
        answer["rest"] = _points(earlier.reading.rest, query.shown)
    return answer


def _groups(reading: Reading, application: str, shown: Presentation) -> dict[str, list[Point]]:
    return {_name(key, application): _points(series, shown) for key, series in reading.groups.items()}


def _name(key: Key, application: str) -> str:
    """Return the name of a group: its value, or of several values the text of a JSON array."""
    if not key:
        return application
    return key[0] if len(key) == 1 else encode(key).decode()


def _points(series: Series, shown: Presentation) -> list[Point]:
    if shown.per_second == 1:
        return list(series.values())
    return [(shown.time(time_s), *values) for time_s, (_, *values) in series.items()]
