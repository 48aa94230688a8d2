"""Read many keys at once, and count them. Revoked and expired keys are without number, so lists of them are cut."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from apimetry.store.accounts.record_rows import KEYS, hash_of, id_of, key_of
from apimetry.store.accounts.records import MAX_ENDED_KEYS_LISTED, Key

if TYPE_CHECKING:
    from apimetry.store.client import Store

_WORKING: Final = "(revoked_at IS NULL AND (expires_at IS NULL OR expires_at > {now:DateTime64(3, 'UTC')}))"
_OF_ORGANIZATION: Final = "organization_id = {organization:String}"
_NEWEST_ENDED: Final = f"NOT {_WORKING} ORDER BY created_at DESC, id LIMIT {MAX_ENDED_KEYS_LISTED}"


def listed_keys(store: Store, organization_id: str, now: datetime) -> list[Key]:
    """Return an organization's working keys and its newest MAX_ENDED_KEYS_LISTED other keys, oldest first."""
    parameters = {"organization": organization_id, "now": now}
    keys = [
        key
        for condition in (_WORKING, _NEWEST_ENDED)
        for key, _ in _keys_with_hashes(store, f"{_OF_ORGANIZATION} AND {condition}", parameters)
    ]
    return sorted(keys, key=lambda key: (key.created_at, key.id))


def working_keys(store: Store, now: datetime) -> list[tuple[Key, str]]:
    """Return the working keys of all organizations, every key with its SHA-256."""
    return _keys_with_hashes(store, _WORKING, {"now": now})


def every_key(store: Store) -> list[tuple[Key, str]]:
    """Return all keys that ever were, oldest first, every key with its SHA-256."""
    return _keys_with_hashes(store, "1 ORDER BY created_at, id", {})


def count_working_keys(store: Store, organization_id: str, now: datetime) -> int:
    """Return how many of an organization's keys work at `now`."""
    ((count,),) = store.query(
        f"SELECT count() FROM keys FINAL WHERE {_OF_ORGANIZATION} AND {_WORKING}",  # noqa: S608 - our own conditions
        {"organization": organization_id, "now": now},
    )
    return int(count)


def _keys_with_hashes(store: Store, condition: str, parameters: Mapping[str, object]) -> list[tuple[Key, str]]:
    uses = dict(
        store.query(
            "SELECT key_id, max(last_used_at) FROM key_uses"  # noqa: S608 - our own condition
            f" WHERE key_id IN (SELECT id FROM keys FINAL WHERE {condition}) GROUP BY key_id",
            parameters,
        )
    )
    rows = store.query(f"{KEYS} WHERE {condition}", parameters)
    return [(key_of(row, uses.get(id_of(row))), hash_of(row)) for row in rows]
