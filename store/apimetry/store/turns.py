"""Give the turn for a purpose and a minute to one of the services over one store.

The engine stores the first insert under a deduplication token, and drops every other insert under that token. A
single server decides under the lock of the table's deduplication log; a replicated table decides by creating the
token in Keeper. The response to an insert does not say whether the row was stored. So a service reads the owner back,
and has the turn if the owner is its own name. If the winner's row is not visible yet, or the row of a later minute
has replaced it, no service has the turn: a turn may be lost, but two services never have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from apimetry.store.client import Store

FIRST_WINS: Final = {"async_insert": 0, "insert_deduplicate": 1}


def take_turn(store: Store, purpose: str, minute: int, owner: str) -> bool:
    """Return whether `owner` has the turn of `minute` (since the epoch) for `purpose`; a repeated call agrees."""
    store.command(
        "INSERT INTO turns (purpose, minute, owner) SELECT {purpose:String}, {minute:UInt64}, {owner:String}",
        {"purpose": purpose, "minute": minute, "owner": owner},
        settings={**FIRST_WINS, "insert_deduplication_token": f"{purpose}/{minute}"},
    )
    owners = store.query(
        "SELECT owner FROM turns WHERE purpose = {purpose:String} AND minute = {minute:UInt64}",
        {"purpose": purpose, "minute": minute},
    )
    return owners == [(owner,)]
