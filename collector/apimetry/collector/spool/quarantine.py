"""Bytes that will not be inserted, kept for a person: damaged records, and rows that the store refuses.

Each piece is a file of its own named after its segment and place, with a `.json` beside it that says why, how many
rows, when, and whose. Writing the same piece again changes nothing, so that a retry counts once. All pieces together
never exceed `max_bytes`: beyond it a piece is dropped, and the log says so; what waits behind it matters more.
"""

import logging
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from apimetry.collector.spool.files import Files, write_new

logger = logging.getLogger(__name__)

NOTE = ".json"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What rows were: of whose batch, received when. Notes of earlier versions do not say."""

    application: str = ""
    received_us: int = 0
    instance: str = ""
    """Of the sender; empty for one that reports no counts."""


class Quarantine:
    """The folder of one spool; its calls block and raise OSError."""

    def __init__(self, files: Files, folder: Path, *, max_bytes: int) -> None:
        self._files = files
        self._folder = folder
        self._max_bytes = max_bytes
        self._known: set[str] = set()
        self._size_bytes = 0
        self._dropped_pieces = 0

    def open(self) -> None:
        """Make the folder, and see what is there."""
        self._files.make_folder(self._folder)
        self._known = set(self._files.names(self._folder))
        self._size_bytes = sum(self._files.size(self._folder / name) for name in self._known)

    def keep(self, name: str, data: bytes, *, reason: str, rows: int = 0, origin: Origin | None = None) -> bool:
        """Put bytes aside; False if this piece was there already, or there is no room for it.

        `origin` is that of rows, so that they can be put back.
        """
        about = {"reason": reason, "rows": rows, "bytes": len(data), "at": int(time.time())}
        note = msgspec.json.encode({**about, **(msgspec.structs.asdict(origin) if origin else {})})
        if f"{name}{NOTE}" in self._known:
            return False
        size = len(data) + len(note)
        if self._size_bytes + size > self._max_bytes:
            self._dropped_pieces += 1
            logger.error(
                "the quarantine is at its limit of %d bytes: %s is dropped, %d rows (%s)",
                self._max_bytes, name, rows, reason,
            )  # fmt: skip
            return False
        with suppress(FileNotFoundError):
            self._files.remove(self._folder / name)  # a piece without its note was not finished
        write_new(self._files, self._folder / name, data)
        write_new(self._files, self._folder / f"{name}{NOTE}", note)
        self._known.add(f"{name}{NOTE}")
        self._size_bytes += size
        return True

    @property
    def size_bytes(self) -> int:
        """Of all pieces and their notes."""
        return self._size_bytes

    @property
    def dropped_pieces(self) -> int:
        """Pieces that found no room since the start."""
        return self._dropped_pieces

    def __len__(self) -> int:
        return sum(name.endswith(NOTE) for name in self._known)
