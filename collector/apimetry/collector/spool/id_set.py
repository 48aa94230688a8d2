"""A set of batch keys of a window, in some 20 bytes of memory each.

Keys are hashes, so their first bits spread them evenly: a generation has 4,096 buckets, each a row of keys of 16
bytes, and looking one up is a search through a bucket (64 keys when a generation of a million's quarter is full).
Generations are forgotten as a whole, so that a key stays for at least the window, or among at least the newest
`max_ids`, and a quarter longer at most.
"""

KEY_BYTES = 16
BUCKET_BITS = 12
GENERATIONS = 4


class Generation:
    """Keys that were added in a row."""

    def __init__(self, began_us: int) -> None:
        self.began_us = began_us
        self.newest_us = began_us
        self.count = 0
        self._buckets = [bytearray() for _ in range(1 << BUCKET_BITS)]

    def add(self, key: bytes, received_us: int) -> None:
        """Take one that is not in it."""
        self._buckets[_bucket(key)].extend(key)
        self.count += 1
        self.newest_us = max(self.newest_us, received_us)

    def __contains__(self, key: bytes) -> bool:
        bucket = self._buckets[_bucket(key)]
        at = bucket.find(key)
        while at % KEY_BYTES and at > 0:  # across two keys
            at = bucket.find(key, at + 1)
        return at >= 0


class IdSet:
    """`add` belongs to one thread at a time; looking up may run beside it."""

    def __init__(self, *, window_us: int, max_ids: int) -> None:
        self._window_us = window_us
        self._max_ids = max_ids
        # Replaced as a whole, never changed: who looks up beside it sees the former or the next.
        self._generations: tuple[Generation, ...] = ()

    def __len__(self) -> int:
        return sum(generation.count for generation in self._generations)

    def __contains__(self, key: bytes) -> bool:
        return any(key in generation for generation in self._generations)

    def add(self, key: bytes, received_us: int) -> None:
        """Remember it, and forget what is outside the window by then."""
        if not self._generations or self._is_full(self._generations[-1], received_us):
            self._generations = (*self._generations, Generation(received_us))
        self._generations[-1].add(key, received_us)
        self.forget(received_us)

    def forget(self, now_us: int) -> None:
        """Drop generations outside the window, or before the newest `max_ids`."""
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
