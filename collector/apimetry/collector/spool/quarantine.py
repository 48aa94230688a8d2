"""Bytes that will not be inserted, kept for a person: damaged records, and rows that the store refuses.

Each piece is a file of its own named after its segment and place, with a `.json` beside it that says why, how many
rows and when. Writing the same piece again changes nothing, so that a retry counts once.
"""

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from apimetry.collector.spool.files import Files, write_new


class Quarantine:
    """The folder of one spool; its calls block and raise OSError."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._known: set[str] = set()

    def open(self) -> None:
        """Make the folder, and see what is there."""
        self._files.make_folder(self._folder)
        self._known = set(self._files.names(self._folder))

    def keep(self, name: str, data: bytes, *, reason: str, rows: int) -> bool:
        """Put bytes aside; False if this piece was there already."""
        note = {"reason": reason, "rows": rows, "bytes": len(data), "at": int(time.time())}
        if f"{name}.json" in self._known:
            return False
        with suppress(FileNotFoundError):
            self._files.remove(self._folder / name)  # a piece without its note was not finished
        write_new(self._files, self._folder / name, data)
        write_new(self._files, self._folder / f"{name}.json", msgspec.json.encode(note))
        self._known.add(f"{name}.json")
        return True

    def __len__(self) -> int:
        return sum(name.endswith(".json") for name in self._known)
