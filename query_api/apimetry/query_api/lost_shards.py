"""What is answered while shards of a cluster do not answer.

A question is refused, and the refusal names the shards: an answer without their events would look right. With
`partial=1` it is answered from the other shards, and the answer names those that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
from aiohttp import web

from apimetry.query_api.http.query_string import PARTIAL, flag
from apimetry.serving.errors import STORE_RETRY_AFTER_S, Unavailable
from apimetry.store.errors import StoreUnavailable
from apimetry.store.statement import Ask, Rows, Statement

_SKIP = {"skip_unavailable_shards": 1}


def wants_partial(request: web.Request) -> bool:
    """Return whether the client takes an answer without the shards that are lost."""
    return flag({PARTIAL: [value for value in request.query.getall(PARTIAL, []) if value]}, PARTIAL)


def refusal_without(missing: Sequence[int]) -> Unavailable:
    """Return the error of a question whose answer would leave shards out."""
    return Unavailable(
        f"{_named(missing)} of the store's cluster cannot be reached, and an answer would leave their events out. Try"
        " again later, or ask with partial=1 for what the other shards hold",
        retry_after_s=STORE_RETRY_AFTER_S,
        missing_shards=missing,
    )


@dataclass(frozen=True)
class WithoutLostShards:
    """Answers `query` in JSON. While shards are lost, it answers from the others, and the answer names those lost."""

    query: Callable[..., bytes]
    lost: Callable[[], list[int]]
    """Returns the numbers of the lost shards; blocks."""

    def __call__(self, ask: Ask, *args: object) -> bytes:
        """Return the JSON of an object."""
        try:
            return self.query(ask, *args)
        except StoreUnavailable:
            missing = self.lost()
            if not missing:
                raise

        def ask_others(statement: Statement) -> Rows:
            return ask(replace(statement, settings={**statement.settings, **_SKIP}))

        # The whole question is asked again: all its statements leave out the same shards. A shard that was lost
        # meanwhile is missing, too.
        body = self.query(ask_others, *args)
        answer: dict[str, msgspec.Raw] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        return msgspec.json.encode({**answer, "missing_shards": sorted({*missing, *self.lost()})})


def _named(shards: Sequence[int]) -> str:
    numbers = ", ".join(map(str, shards))
    return f"Shard {numbers}" if len(shards) == 1 else f"Shards {numbers}"
