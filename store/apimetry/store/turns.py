"""Whose turn it is, among any number of services over one store: one of them for each purpose and minute.

The first insert under a deduplication token is kept, every other one is dropped: a single server decides it under the
lock of the table's deduplication log, a replicated table by creating the token in Keeper. An insert does not say
whether it was kept, so each service reads back who was: it has the turn if it finds its own name. When the winner's
row cannot be seen yet, or a later minute has replaced it, nobody finds theirs: a turn may be lost, never taken twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from apimetry.store.client import Store

FIRST_WINS: Final = {"async_insert": 0, "insert_deduplicate": 1}


def take_turn(store: Store, purpose: str, minute: int, owner: str) -> bool:
    """Whether `owner` has the turn of `minute` (minutes since the epoch) for `purpose`; repeating it agrees."""
    store.command(
        "INSERT INTO turns (purpose, minute, owner) SELECT {purpose:String}, {minute:UInt64}, {owner:String}",
        {"purpose": purpose, "minute": minute, "owner": owner},
        settings={**FIRST_WINS, "insert_deduplication_token": f"{purpose}/{minute}"},
    )
    found = store.query(
        "SELECT owner FROM turns WHERE purpose = {purpose:String} AND minute = {minute:UInt64}",
        {"purpose": purpose, "minute": minute},
    )
    return found == [(owner,)]
