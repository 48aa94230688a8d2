"""A set of the batch keys within a window; a key takes HELD_BYTES of memory.

The set consists of generations. A generation has 4,096 buckets, and a bucket holds keys of 16 bytes in sequence. The
first bits of a key are the number of its bucket; keys are hashes, so the buckets fill evenly. A lookup searches one
bucket per generation: 64 keys when a generation holds 250,000.
A generation is forgotten as a whole. So a key is held for the window or among the newest `max_ids`, at least, and a
quarter longer at most.
"""

from __future__ import annotations

KEY_BYTES = 16
BUCKET_BITS = 12
GENERATIONS = 4
HELD_BYTES = 25
"""What a key takes in memory, with the room that its bucket keeps for more."""


class Generation:
    """Keys that were added one after another, within a quarter of the window."""

    def __init__(self, began_us: int) -> None:
        self.began_us = began_us
        self.newest_us = began_us
        self.count = 0
        self._buckets = [bytearray() for _ in range(1 << BUCKET_BITS)]

    def add(self, key: bytes, received_us: int) -> None:
        """Add a key that is not in this generation."""
        self._buckets[_bucket(key)].extend(key)
        self.count += 1
        self.newest_us = max(self.newest_us, received_us)

    def __contains__(self, key: bytes) -> bool:
        bucket = self._buckets[_bucket(key)]
        at = bucket.find(key)
        while at % KEY_BYTES and at > 0:  # the match spans two keys
            at = bucket.find(key, at + 1)
        return at >= 0


class IdSet:
    """The set of keys. One thread at a time may call `add`; a lookup may run at the same time."""

    def __init__(self, *, window_us: int, max_ids: int) -> None:
        self._window_us = window_us
        self._max_ids = max_ids
        # This tuple is replaced, never changed: a lookup at the same time reads the old tuple or the new one.
        self._generations: tuple[Generation, ...] = ()

    def __len__(self) -> int:
        return sum(generation.count for generation in self._generations)

    def __contains__(self, key: bytes) -> bool:
        return any(key in generation for generation in self._generations)

    def add(self, key: bytes, received_us: int) -> None:
        """Add the key, and forget the generations that are outside the window at `received_us`."""
        if not self._generations or self._is_full(self._generations[-1], received_us):
            self._generations = (*self._generations, Generation(received_us))
        self._generations[-1].add(key, received_us)
        self.forget(received_us)

    def forget(self, now_us: int) -> None:
        """Forget the generations outside the window, and those before the newest `max_ids` keys."""
        while self._generations and self._is_old(self._generations[0], now_us):
            self._generations = self._generations[1:]

    def _is_full(self, generation: Generation, now_us: int) -> bool:
        return (
            generation.count * GENERATIONS >= self._max_ids
            or now_us - generation.began_us >= self._window_us // GENERATIONS
        )

    def _is_old(self, generation: Generation, now_us: int) -> bool:
        return generation.newest_us <= now_us - self._window_us or len(self) - generation.count >= self._max_ids


def _bucket(key: bytes) -> int:
    return int.from_bytes(key[:2], "big") >> 16 - BUCKET_BITS
