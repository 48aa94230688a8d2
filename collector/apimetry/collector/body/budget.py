"""How many bytes of bodies are in memory at once, over all requests and for one key."""

from collections import Counter

KEY_SHARE = 0.5
"""Of the whole: what one key may hold, so that it cannot lock the others out."""


class BudgetExceeded(Exception):
    """No room for these bytes now."""


class ByteBudget:
    """A bound without a queue: what does not fit is refused at once. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._key_limit = int(limit * KEY_SHARE)
        self._held = 0
        self._held_by_key: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Bytes in use."""
        return self._held

    def acquire(self, key: str, size: int) -> None:
        """Take room; raises BudgetExceeded and takes none."""
        if self._held + size > self._limit or self._held_by_key[key] + size > self._key_limit:
            raise BudgetExceeded
        self._held += size
        self._held_by_key[key] += size

    def release(self, key: str, size: int) -> None:
        """Give it back."""
        self._held -= size
        self._held_by_key[key] -= size
        if not self._held_by_key[key]:
            del self._held_by_key[key]
