"""Keep a question within what a link binds: its viewers may narrow a question further, and never widen it. Pure.

The link's filters are filters of their own beside those of the question. Filters of one field in one list are
alternatives, so joining the lists would widen the question.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

from apimetry.query_api.planning.filters import AnyFilter, fields_of, parse_filters
from apimetry.serving.errors import Forbidden
from apimetry.store.accounts.token_records import Fixed

REQUESTS_PAGE = "requests"


class _Query(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def filters(self) -> tuple[AnyFilter, ...]: ...


Query = TypeVar("Query", bound=_Query)


def narrowed(  # noqa: PLR0913 - what a question is about
    query: Query,
    fixed: Fixed | None,
    *,
    names: Iterable[str] = (),
    compared: tuple[int, int] | None = None,
    completeness: bool = False,
    looks_back: bool = False,
) -> Query:
    """Return the question within what a link binds; without a link the question itself.

    Args:
        query: the question, with its own filters.
        fixed: what the link binds; None: no link.
        names: the fields of events that the question groups by or shows.
        compared: the other period of the question, in seconds.
        completeness: whether the question is about what senders captured, of whatever consumer.
        looks_back: whether the answer depends on events before the question's range.

    Raises:
        Forbidden: the question is about what the link does not show.
    """
    if fixed is None:
        return query
    filters = narrowed_filters(query.filters, fixed, names=names)
    if completeness:
        raise Forbidden("This link does not show what senders captured")
    start = query.start
    if fixed.not_before is not None:
        start = max(start, fixed.not_before)
        earliest = query.start if compared is None else min(query.start, compared[0])
        if start >= query.end or looks_back or (compared is not None and earliest < fixed.not_before):
            raise Forbidden(f"This link shows nothing before {fixed.not_before}, in seconds since the epoch")
    return replace(query, start=start, filters=filters)


def narrowed_filters(
    filters: tuple[AnyFilter, ...], fixed: Fixed | None, *, names: Iterable[str] = ()
) -> tuple[AnyFilter, ...]:
    """Return the filters of a question with those that a link binds.

    Raises:
        Forbidden: a filter, or one of the `names` that the question shows, is a field that the link hides.
    """
    if fixed is None:
        return filters
    for name in (*names, *fields_of(filters)):
        if name in fixed.hides:
            raise Forbidden(f"This link does not show {name}")
    return (*filters_fixed(fixed), *filters)


def filters_fixed(fixed: Fixed) -> tuple[AnyFilter, ...]:
    """Return the filters that a link binds."""
    return parse_filters(fixed.include, fixed.exclude)


def shown_fields(fields: tuple[str, ...], default: tuple[str, ...], fixed: Fixed | None) -> tuple[str, ...]:
    """Return the fields of single events that a link shows.

    Raises:
        Forbidden: the link shows no single events, or not a field that was asked for.
    """
    if fixed is None:
        return fields
    if REQUESTS_PAGE not in fixed.pages:
        raise Forbidden("This link shows no single requests")
    if fields == default:
        return tuple(name for name in default if name not in fixed.hides)
    for name in fields:
        if name in fixed.hides:
            raise Forbidden(f"This link does not show {name}")
    return fields
