"""The filters that every endpoint about events takes: parameters of a query string in, frozen filters out. Pure.

An endpoint adds FILTER_PARAMETERS to the parameters that it knows, and calls `filters_of`. `planning.filter_sql`
makes the conditions of a statement from the filters, for rollups and events alike.

FILTER_FIELDS is the closed set of the field names that may reach SQL; values are bound by the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from apimetry.query_api.http.query_string import number_in, refusal, single
from apimetry.serving.errors import BadRequest

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
    "user_agent",
    "client_ip",
)
NUMERIC_DIMENSIONS = frozenset({"status_code"})
STATUS_CLASS = "status_class"
# Groups and filters are about the software, not about the whole text with its versions.
_COLUMNS = {STATUS_CLASS: "status_code", "user_agent": "user_agent_family"}
GROUPS = (*DIMENSIONS, STATUS_CLASS)
"""What events can be grouped by."""

EVENT_FIELDS = frozenset({"url", "user_agent", "client_ip"})
"""The fields that events have and no rollup has."""

FILTER_FIELDS = GROUPS
"""The fields of `include` and `exclude`."""

TEXT_FIELDS = ("url", "route", "consumer_id", "error_type")
"""The fields of `has`."""

MEASURED_FIELDS = ("response_us", "ttfb_us", "request_bytes", "response_bytes")
"""The fields of `between`."""

FILTER_PARAMETERS = ("include", "exclude", "has", "min_response_us", "max_response_us", "between")
MAX_STATUS_CODE = 65_535
MAX_RESPONSE_US = 2**63 - 1
UNMATCHED_ROUTES = ("", "(unmatched)")
"""The route of a request without a matching route: the first in logs and from other senders, the second from ours."""

STATUS_CLASS_PATTERN = "[1-9][xX]{2}"
MEASURED_PATTERN = "([0-9]{0,18})[.]{2}([0-9]{0,18})"
_LIMITS = re.compile(MEASURED_PATTERN, re.ASCII)
_STATUS_CLASS = re.compile(STATUS_CLASS_PATTERN, re.ASCII)


@dataclass(frozen=True)
class Filter:
    """Events whose `field` is one of `values`; with `excludes`, events whose `field` is none of `values`.

    The values of `status_code` are numbers. The values of `status_class` are first digits: 5 for 5xx.
    """

    field: str
    values: tuple[str | int, ...]
    excludes: bool = False

    @property
    def column(self) -> str:
        """Return the column that a table needs for this filter."""
        return column_of(self.field)


@dataclass(frozen=True)
class Contains:
    """Events whose `field` contains `text`, in small or capital letters."""

    field: str
    text: str

    @property
    def column(self) -> str:
        """Return the column that a table needs for this filter."""
        return self.field


@dataclass(frozen=True)
class Bound:
    """Events with a known `field` of at least `limit`; with `is_upper`, of at most `limit`."""

    limit: int
    is_upper: bool = False
    field: str = "response_us"

    @property
    def column(self) -> str:
        """Return the column that a table needs for this filter. No rollup has it, so events answer."""
        return self.field


AnyFilter: TypeAlias = Filter | Contains | Bound


def column_of(field: str) -> str:
    """Return the column that a table needs for a field of GROUPS."""
    return _COLUMNS.get(field, field)


def filters_of(values: dict[str, list[str]], own: Sequence[str] = ()) -> tuple[AnyFilter, ...]:
    """Return the filters of a query string, of which `collect` made `values` by parameter; all must hold.

    `own` are dimensions that are parameters too: `method=GET` is short for `include=method:GET`.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    least, most = (_bound(values, name) for name in ("min_response_us", "max_response_us"))
    return (
        *_parse("include", values["include"], {field: values[field] for field in own}),
        *_parse("exclude", values["exclude"]),
        *containing_filters(values["has"]),
        *bounds(least, most),
        *measured_filters(values["between"]),
    )


def parse_filters(include: Iterable[str], exclude: Iterable[str]) -> tuple[Filter, ...]:
    """Return the filters of `field:value` texts: one for each field of each list. Empty texts are ignored.

    Raises:
        BadRequest: names the text and what is allowed.
    """
    return (*_parse("include", include), *_parse("exclude", exclude))


def containing_filters(texts: Iterable[str]) -> tuple[Contains, ...]:
    """Return the filters of the `field:text` texts of `has`. Empty texts are ignored.

    Raises:
        BadRequest: names the text and what is allowed.
    """
    pairs = [_split("has", text, TEXT_FIELDS) for text in texts if text]
    # An empty text is in every text.
    return tuple(Contains(field, text) for field, text in dict.fromkeys(pairs) if text)


def measured_filters(texts: Iterable[str]) -> tuple[Bound, ...]:
    """Return the filters of the `field:from..to` texts of `between`, of which one number may be left out.

    Empty texts are ignored.

    Raises:
        BadRequest: names the text and what is allowed.
    """
    filters: dict[Bound, None] = {}
    for text in filter(None, texts):
        field, limits = _split("between", text, MEASURED_FIELDS)
        found = _LIMITS.fullmatch(limits)
        if found is None or limits == "..":
            raise refusal("between", text, "field:from..to, with whole numbers, of which one may be left out")
        least, most = (None if digits == "" else int(digits) for digits in found.groups())
        names = (f"the first number of between={field}", "the second")
        filters |= dict.fromkeys(bounds(least, most, names, field))
    return tuple(filters)


def bounds(
    least: int | None,
    most: int | None,
    names: tuple[str, str] = ("min_response_us", "max_response_us"),
    field: str = "response_us",
) -> tuple[Bound, ...]:
    """Return the filters of the two bounds of a measured field; None means no bound.

    A refusal calls the bounds by `names`.

    Raises:
        BadRequest: the first is above the second.
    """
    if least is not None and most is not None and least > most:
        raise BadRequest(f"{names[0]} must not be above {names[1]}: they are {least} and {most}")
    return (
        *([] if least is None else [Bound(least, field=field)]),
        *([] if most is None else [Bound(most, is_upper=True, field=field)]),
    )


def columns_of(filters: Iterable[AnyFilter]) -> frozenset[str]:
    """Return the columns that a table needs for `filters`: the dimensions of a rollup, or measured fields."""
    return frozenset(filter_.column for filter_ in filters)


def fields_of(filters: Iterable[AnyFilter]) -> frozenset[str]:
    """Return the fields that `filters` are about, as a question names them."""
    return frozenset(filter_.field for filter_ in filters)


def _parse(
    parameter: str, texts: Iterable[str], own: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[Filter]:
    values: dict[str, list[str | int]] = {}
    for field, own_texts in own.items():
        for text in own_texts:
            values.setdefault(field, []).extend(_values(field, field, text))
    for text in filter(None, texts):
        field, value = _split(parameter, text, FILTER_FIELDS)
        values.setdefault(field, []).extend(_values(f"{parameter}={field}", field, value))
    excludes = parameter == "exclude"
    return [Filter(field, tuple(dict.fromkeys(of_field)), excludes) for field, of_field in sorted(values.items())]


def _split(parameter: str, text: str, fields: Sequence[str]) -> tuple[str, str]:
    field, colon, value = text.partition(":")
    if not colon or field not in fields:
        shape = {"has": "field:text", "between": "field:from..to"}.get(parameter, "field:value")
        raise refusal(parameter, text, f"{shape}, where field is one of {', '.join(fields)}")
    return field, value


def _values(name: str, field: str, text: str) -> Sequence[str | int]:
    """Return the values of one text; `name` is the parameter in a refusal."""
    is_class = _STATUS_CLASS.fullmatch(text) is not None
    if field == STATUS_CLASS:
        if not is_class:
            raise refusal(name, text, "1xx to 9xx")
        return [int(text[0])]
    if field not in NUMERIC_DIMENSIONS:
        return [text]
    if is_class:
        return range(100 * int(text[0]), 100 * int(text[0]) + 100)
    return [number_in(name, text, range(MAX_STATUS_CODE + 1), "1xx to 9xx, or a whole number")]


def _bound(values: dict[str, list[str]], name: str) -> int | None:
    value = single(values, name)
    allowed = range(MAX_RESPONSE_US + 1)
    return None if value is None else number_in(name, value, allowed, "whole microseconds")
