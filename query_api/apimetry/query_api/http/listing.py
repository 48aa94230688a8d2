"""Pages of a list: `limit` and `offset` of a query string, and `pagination` in the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import collect, number_in, single
from apimetry.serving.answer_types import Count

MAX_PAGE = 1000
DEFAULT_PAGE = 100
# The largest signed number of 64 bits. No list is that long.
MAX_OFFSET = 2**63 - 1
PARAMETERS = ("limit", "offset")


@dataclass(frozen=True)
class Page:
    """The rows of a list that a query string asks for."""

    limit: int = DEFAULT_PAGE
    offset: int = 0


def page_parameters(values: dict[str, list[str]]) -> Page:
    """Return the page of a query string, of which `collect` made `values` by parameter.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    return Page(
        limit=number_in("limit", single(values, "limit") or str(DEFAULT_PAGE), range(1, MAX_PAGE + 1)),
        offset=number_in("offset", single(values, "offset") or "0", range(MAX_OFFSET + 1)),
    )


class Pagination(TypedDict):
    """The place of a page in its list of `total` rows."""

    total: Count
    limit: Count
    offset: Count
    hasMore: bool


def pagination(page: Page, total: int) -> Pagination:
    """Return the member `pagination` of a page out of `total` rows."""
    return {
        "total": total,
        "limit": page.limit,
        "offset": page.offset,
        "hasMore": page.offset + page.limit < total,
    }


def page_of(parameters: Iterable[tuple[str, str]], rows: Sequence[object], member: str) -> Json:
    """Return the page of `rows` that a query string asks for, under `member`, with `pagination`.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    page = page_parameters(collect(parameters, PARAMETERS))
    return {
        member: rows[page.offset : page.offset + page.limit],
        "pagination": pagination(page, len(rows)),
    }
