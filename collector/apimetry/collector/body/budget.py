"""The limit on bytes of bodies in memory at once: over all requests, and for one key."""

from __future__ import annotations

from collections import Counter

KEY_SHARE = 0.5
"""The share of the budget that one key may hold, so that it cannot lock other keys out."""


class BudgetExceeded(Exception):
    """The budget has no room for these bytes now."""


class ByteBudget:
    """A limit without a queue: bytes that do not fit are refused at once. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._key_limit = int(limit * KEY_SHARE)
        self._held = 0
        self._held_by_key: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Return the bytes in use."""
        return self._held

    def acquire(self, key: str, size: int) -> None:
        """Take `size` bytes for `key`; if they do not fit, take none and raise BudgetExceeded."""
        if self._held + size > self._limit or self._held_by_key[key] + size > self._key_limit:
            raise BudgetExceeded
        self._held += size
        self._held_by_key[key] += size

    def release(self, key: str, size: int) -> None:
        """Give `size` bytes of `key` back."""
        self._held -= size
        self._held_by_key[key] -= size
        if not self._held_by_key[key]:
            del self._held_by_key[key]
