"""Answers a timeseries query: asks the store, and makes JSON of its series (docs/api.md, "Timeseries API")."""

from __future__ import annotations

from functools import partial

from msgspec.json import encode

from apimetry.query_api.planning.completeness import completeness
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
        "groups": _groups(reading, application),
        "start": query.start,
        "end": query.end,
        "granularity": query.granularity_ms,
    }
    if len(query.aggregations) > 1:
        answer["aggregations"] = list(query.aggregations)
    if query.rest:
        answer["rest"] = _points(reading.rest)
    if query.limit is not None:
        answer["omitted_groups"] = reading.omitted
    if query.completeness:
        answer["completeness"] = completeness(application, query.start, query.end, ask=ask)
    if query.compare:
        read = partial(read_series, application=application, ask=ask, limits=limits)
        answer["previous"] = _previous(query, read_earlier(query, reading, read), application)
    return answer


def _previous(query: TimeseriesQuery, earlier: Earlier, application: str) -> PreviousPeriod:
    answer: PreviousPeriod = {
        "groups": _groups(earlier.reading, application),
        "start": earlier.start,
        "end": earlier.end,
    }
    if query.rest:
        answer["rest"] = _points(earlier.reading.rest)
    return answer


def _groups(reading: Reading, application: str) -> dict[str, list[Point]]:
    return {_name(key, application): _points(series) for key, series in reading.groups.items()}


def _name(key: Key, application: str) -> str:
    """Return the name of a group: its value, or of several values the text of a JSON array."""
    if not key:
        return application
    return key[0] if len(key) == 1 else encode(key).decode()


def _points(series: Series) -> list[Point]:
    return [(time_s, *values) for time_s, values in series.items()]
