"""Pages of a list: `limit` and `offset` of a query string, and `pagination` in the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apimetry.query_api.http.json_values import Json
from apimetry.query_api.http.query_string import collect, number_in, single

MAX_PAGE = 1000
DEFAULT_PAGE = 100
# The largest signed number of 64 bits. No list is that long.
MAX_OFFSET = 2**63 - 1
PARAMETERS = ("limit", "offset")


def page_of(parameters: Iterable[tuple[str, str]], rows: Sequence[object], member: str) -> Json:
    """Return the page of `rows` that a query string asks for, under `member`, with `pagination`.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    limit = number_in("limit", single(values, "limit") or str(DEFAULT_PAGE), range(1, MAX_PAGE + 1))
    offset = number_in("offset", single(values, "offset") or "0", range(MAX_OFFSET + 1))
    return {
        member: rows[offset : offset + limit],
        "pagination": {
            "total": len(rows),
            "limit": limit,
            "offset": offset,
            "hasMore": offset + limit < len(rows),
        },
    }
