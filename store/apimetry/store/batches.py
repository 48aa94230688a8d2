"""Agree which segment stores a batch that several collectors hold.

A sender that got no answer sends its batch again, and a balancer may give the batch to another collector. Then two
segments hold the batch. Before a collector inserts a segment, it takes three steps:

1. `hold`: it writes down which batches the segment holds.
2. `other_holders`: it reads which of these batches other segments hold. Usually there are none, and it inserts all.
3. `choose_owners`: for every other batch it proposes the other segment as the owner. The first proposal is the
   owner, whatever is proposed later. The owner inserts the batch, and every other segment leaves the batch out.

Two segments of one batch never both insert it: the one that wrote down its batches last sees the other segment, and
proposes it. They never both leave it out: there is one owner, and every segment reads the same one. The first
proposal is the first because all proposals for a batch have one token, and the engine takes a token once.

Where a segment sees two others and no owner, it waits: one of the two sees the other, and proposes it. If that takes
longer than SETTLING_S, as its collector died between two steps, the one that was written down first is proposed. It
is the wrong one only if the two were written down at the same moment.

Step 2 is cheap for a batch whose sender says that it was never sent before (`is_first`): of such a batch, only
repetitions can be in another segment, and they lie apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from apimetry.store.errors import StoreUnavailable
from apimetry.store.native import encode_block

if TYPE_CHECKING:
    from apimetry.store.client import Store

HOLDERS: Final = "batch_holders"
OWNERS: Final = "batch_owners"
_HOLDER_COLUMNS: Final = {"key": "FixedString(16)", "segment": "LowCardinality(String)", "is_first": "UInt8"}
_OWNER_COLUMNS: Final = {"key": "FixedString(16)", "segment": "String"}

MAX_TRAVEL_S: Final = 25 * 3600
"""How long before its arrival a batch may have been taken by another collector. The middleware sends a batch again
for 23 hours; two more are for clocks that differ."""

SETTLING_S: Final = 10

# A segment may be written down twice: its first time counts.
_OTHERS: Final = """SELECT key, segment, min(at), min(at) < now64(3) - toIntervalSecond({{settling_s:UInt32}})
FROM {holders}
WHERE at >= toDateTime64({{since_us:Int64}} / 1000000, 3, 'UTC') AND segment != {{segment:String}}
  AND is_first IN {{kinds:Array(UInt8)}} AND key IN (SELECT key FROM keys)
GROUP BY key, segment"""
_OWNERS_OF: Final = "SELECT key, argMin(segment, at) FROM {owners} WHERE key IN (SELECT key FROM keys) GROUP BY key"


class Other(NamedTuple):
    """Another segment that holds a batch, and whether it may be proposed as the batch's owner now."""

    segment: str
    is_settled: bool


class HeldBatch(NamedTuple):
    """A batch of a segment: its key, when it came in µs since the epoch, and whether it was never sent before."""

    key: bytes
    received_us: int
    is_first: bool


def hold(store: Store, segment: str, batches: Sequence[HeldBatch]) -> None:
    """Write down that the segment holds the batches; a repeat is harmless. Blocks, raises StoreError."""
    columns = ([batch.key for batch in batches], [segment] * len(batches), [batch.is_first for batch in batches])
    store.insert_blocks(HOLDERS, f"{segment}-batches", encode_block(_HOLDER_COLUMNS, columns))


def find_owners(store: Store, segment: str, batches: Sequence[HeldBatch]) -> dict[bytes, str]:
    """Return the owner of every batch that other segments hold, too: steps 2 and 3. Blocks, raises StoreError."""
    others = other_holders(store, segment, batches)
    return choose_owners(store, others) if others else {}


def other_holders(store: Store, segment: str, batches: Sequence[HeldBatch]) -> dict[bytes, Other]:
    """Return the batches that other segments hold, too, each with the first of these; blocks, raises StoreError."""
    holders: dict[bytes, dict[str, tuple[datetime, bool]]] = {}
    for is_first, kinds in ((True, [0]), (False, [0, 1])):
        of_kind = [batch for batch in batches if batch.is_first is is_first]
        if of_kind:
            since_us = min(batch.received_us for batch in of_kind) - MAX_TRAVEL_S * 1_000_000
            values = {"since_us": since_us, "segment": segment, "kinds": kinds, "settling_s": SETTLING_S}
            rows = _look_up(store, _OTHERS, [batch.key for batch in of_kind], values)
            for key, holder, at, is_old in rows:
                holders.setdefault(bytes(key), {})[holder] = (at, bool(is_old))
    return {key: _first(segments) for key, segments in holders.items()}


def choose_owners(store: Store, others: Mapping[bytes, Other]) -> dict[bytes, str]:
    """Return the owner of every batch: the other segment, if no segment was proposed before.

    Blocks. Raises StoreError, StoreUnavailable also where the owner cannot be told yet; a repeat is harmless.
    """
    owners = _owners(store, list(others))
    undecided = [key for key in others if key not in owners]
    if not all(others[key].is_settled for key in undecided):
        raise StoreUnavailable("several other collectors hold a batch, and have not agreed on its owner yet")
    for key in undecided:
        body = encode_block(_OWNER_COLUMNS, ([key], [others[key].segment]))
        store.insert_blocks(OWNERS, f"owner-{key.hex()}", body)
    if undecided:
        owners.update(_owners(store, undecided))
    if len(owners) < len(others):
        raise StoreUnavailable("the owners of repeated batches cannot be read yet")
    return owners


def _first(holders: Mapping[str, tuple[datetime, bool]]) -> Other:
    first = min(holders, key=lambda holder: (holders[holder][0], holder))
    return Other(first, len(holders) == 1 or all(is_old for _, is_old in holders.values()))


def _owners(store: Store, keys: Sequence[bytes]) -> dict[bytes, str]:
    return {bytes(key): owner for key, owner in _look_up(store, _OWNERS_OF, keys, {})}


def _look_up(store: Store, sql: str, keys: Sequence[bytes], values: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Return the rows of a statement over both tables; on a cluster some rows come twice."""
    rows = store.query(sql.format(holders=HOLDERS, owners=OWNERS), values, keys=keys)
    if store.cluster is None:
        return rows
    # One replica of every shard has answered. Another may have rows that this one has not: all that live are asked.
    nodes = {
        name: f"clusterAllReplicas('{store.cluster}', '{store.database}', '{table}_local')"
        for name, table in (("holders", HOLDERS), ("owners", OWNERS))
    }
    return rows + store.query(sql.format(**nodes), values, keys=keys, settings={"skip_unavailable_shards": 1})
