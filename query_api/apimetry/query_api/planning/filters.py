"""Filters on events: `field:value` texts in, frozen `Filter`s out. Pure.

DIMENSIONS is the closed set of the field names that may reach SQL as identifiers; values are bound by the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apimetry.query_api.http.query_string import number_in, refusal

DIMENSIONS = (
    "consumer_id",
    "method",
    "url",
    "function",
    "status_code",
    "route",
    "source",
    "version",
    "error_type",
)
NUMERIC_DIMENSIONS = frozenset({"status_code"})
MAX_STATUS_CODE = 65_535
UNMATCHED_ROUTES = ("", "(unmatched)")
"""The route of a request without a matching route: the first in logs and from other senders, the second from ours."""


@dataclass(frozen=True)
class Filter:
    """Events whose `field` is one of `values`; with `excludes`, events whose `field` is none of `values`."""

    field: str
    values: tuple[str, ...] | tuple[int, ...]
    excludes: bool = False


def parse_filters(include: Iterable[str], exclude: Iterable[str]) -> tuple[Filter, ...]:
    """Return the filters of `field:value` texts: one for each field of each list. Empty texts are ignored.

    Raises:
        BadRequest: names the text and what is allowed.
    """
    return (*_parse("include", include), *_parse("exclude", exclude))


def status_codes(name: str, values: Sequence[str]) -> tuple[int, ...]:
    """Return the distinct status codes that a parameter names."""
    return tuple(dict.fromkeys(number_in(name, value, range(MAX_STATUS_CODE + 1)) for value in values))


def _parse(parameter: str, texts: Iterable[str]) -> list[Filter]:
    values: dict[str, list[str]] = {}
    for text in filter(None, texts):
        field, colon, value = text.partition(":")
        if not colon or field not in DIMENSIONS:
            raise refusal(parameter, text, f"field:value, where field is one of {', '.join(DIMENSIONS)}")
        values.setdefault(field, []).append(value)
    excludes = parameter == "exclude"
    return [
        Filter(field, _distinct(parameter, field, texts_of_field), excludes)
        for field, texts_of_field in sorted(values.items())
    ]


def _distinct(parameter: str, field: str, values: list[str]) -> tuple[str, ...] | tuple[int, ...]:
    if field in NUMERIC_DIMENSIONS:
        return status_codes(f"{parameter}={field}", values)
    return tuple(dict.fromkeys(values))
