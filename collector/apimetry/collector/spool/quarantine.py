"""Bytes that will not be inserted, stored for an operator: damaged records, and rows that the store refuses.

Every piece is a file, named after its segment and its place there. A note, a `.json` file of the same name, has the
reason, the number of rows, the time and the origin. A reason has nothing of an event. A piece that is written again
changes nothing, so that a retry counts once. All pieces together never exceed `max_bytes` and MAX_PIECES. A further
piece is dropped and logged: the events that wait behind it matter more. The memory holds the names of notes,
NAME_BYTES each: 15 MB at most.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from apimetry.collector.spool.files import Files, write_new

logger = logging.getLogger(__name__)

NOTE = ".json"
MAX_PIECES = 50_000
NAME_BYTES = 300
MAX_REASON = 200
"""Characters of the newest reason that are shown."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The batch that rows come from. Notes of earlier versions have no origin."""

    application: str = ""
    received_us: int = 0
    instance: str = ""
    """Of the sender; empty for a sender without counts."""


class _Note(msgspec.Struct, frozen=True):
    reason: str = ""
    rows: int = 0
    at: int = 0


class Quarantine:
    """The quarantine of one spool; its calls block and raise OSError."""

    def __init__(self, files: Files, folder: Path, *, max_bytes: int) -> None:
        self._files = files
        self._folder = folder
        self._max_bytes = max_bytes
        # The names of notes.
        self._known: set[str] = set()
        self._size_bytes = 0
        self._dropped_pieces = 0
        self._rows = 0
        self._newest = _Note()

    def open(self) -> None:
        """Make the folder, and read its names and sizes."""
        self._files.make_folder(self._folder)
        names = self._files.names(self._folder)
        self._known = {name for name in names if name.endswith(NOTE)}
        self._size_bytes = sum(self._files.size(self._folder / name) for name in names)
        for name in self._known:
            self._count(self._read(name))

    def add(self, name: str, data: bytes, *, reason: str, rows: int = 0, origin: Origin | None = None) -> bool:
        """Add a piece; return False if it is there already, or has no room.

        `origin` is needed for rows, so that they can be replayed.
        """
        now_s = int(time.time())
        about = {"reason": reason, "rows": rows, "bytes": len(data), "at": now_s}
        note = msgspec.json.encode({**about, **(msgspec.structs.asdict(origin) if origin else {})})
        if f"{name}{NOTE}" in self._known:
            return False
        size = len(data) + len(note)
        if self._size_bytes + size > self._max_bytes or len(self._known) >= MAX_PIECES:
            self._dropped_pieces += 1
            logger.error(
                "the quarantine is at its limit of %d bytes or %d pieces: %s is dropped, %d rows (%s)",
                self._max_bytes, MAX_PIECES, name, rows, reason,
            )  # fmt: skip
            return False
        with suppress(FileNotFoundError):
            self._files.remove(self._folder / name)  # a piece without a note was not written to its end
        write_new(self._files, self._folder / name, data)
        write_new(self._files, self._folder / f"{name}{NOTE}", note)
        self._known.add(f"{name}{NOTE}")
        self._size_bytes += size
        self._count(_Note(reason, rows, now_s))
        return True

    def _read(self, name: str) -> _Note:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._files.read(self._folder / name), type=_Note)
        return _Note()  # `apimetry spool replay` names a note that cannot be read

    def _count(self, note: _Note) -> None:
        self._rows += note.rows
        if note.at >= self._newest.at:
            self._newest = note

    @property
    def size_bytes(self) -> int:
        """Return the size of all pieces and their notes."""
        return self._size_bytes

    @property
    def rows(self) -> int:
        """Return the number of rows in all pieces."""
        return self._rows

    @property
    def newest_reason(self) -> str:
        """Return the beginning of the newest piece's reason; empty without pieces."""
        return self._newest.reason[:MAX_REASON]

    @property
    def dropped_pieces(self) -> int:
        """Return the number of pieces that were dropped since the start."""
        return self._dropped_pieces

    def __len__(self) -> int:
        return len(self._known)
