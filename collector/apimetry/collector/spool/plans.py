"""What a collector leaves out of a segment, as other collectors store it: decided once, and kept on the disk.

Invariants:

1. Where collectors share a store, a segment that holds batches with an id is inserted only after its plan is on the
   disk. So the rows of a token are the same bytes at every attempt, also after a restart.
2. A plan goes after its segment, and the segment's removal is fsync'd before. So a segment is never planned anew
   after it was inserted. `open` removes plans without a segment.
3. A plan is a file `plans/{token}`: the offsets of the left-out records in the segment as u64, in order, and a
   CRC-32, which starts from that of the token. Usually no record is left out, and a plan has 4 bytes. A torn plan
   was never used.

Plans are the writer's: one thread at a time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from apimetry.collector.spool.files import Files, write_new

_CRC = struct.Struct(">I")
_OFFSET_BYTES = 8


class Plans:
    """The plans in a spool's folder `plans`."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def open(self, tokens: Collection[str]) -> None:
        """Make the folder, and remove the plans of segments that are gone; raises OSError."""
        self._files.make_folder(self._folder)
        for name in self._files.names(self._folder):
            if name not in tokens:
                self._files.remove(self._folder / name)

    def read(self, token: str) -> frozenset[int] | None:
        """Return the offsets of the records that are left out; None without a plan. Raises OSError."""
        try:
            data = bytes(self._files.read(self._folder / token))
        except FileNotFoundError:
            return None
        body, checksum = data[: -_CRC.size], data[-_CRC.size :]
        if len(body) % _OFFSET_BYTES or checksum != _checksum(token, body):
            return None
        return frozenset(struct.unpack(f">{len(body) // _OFFSET_BYTES}Q", body))

    def write(self, token: str, offsets: Iterable[int]) -> None:
        """Keep a plan, and return once it is on the disk; raises OSError."""
        ordered = sorted(offsets)
        body = struct.pack(f">{len(ordered)}Q", *ordered)
        self.remove(token)  # a torn one
        write_new(self._files, self._folder / token, body + _checksum(token, body))

    def remove(self, token: str) -> None:
        """Remove a plan if there is one; raises OSError."""
        with suppress(FileNotFoundError):
            self._files.remove(self._folder / token)


def _checksum(token: str, body: bytes) -> bytes:
    # Without the token, four zeros would be a plan: what a power cut may leave of a file.
    return _CRC.pack(zlib.crc32(body, zlib.crc32(token.encode())))
