"""Read the content of a spool's directory without owning it: a running collector may change it meanwhile.

Nothing here writes. A segment that the collector removes between two reads is left out. The active segment may end
in a half-written record. That is no damage while a collector owns the spool.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from apimetry.collector.errors import SpoolError, SpoolVersionError
from apimetry.collector.spool import segment
from apimetry.collector.spool.batch_ids import ENTRY_BYTES
from apimetry.collector.spool.quarantine import NOTE
from apimetry.collector.spool.recovery import FORMAT, Folders

OPEN = ".open"
LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a spool at one moment."""

    directory: str
    owner: str | None
    """The process that owns the spool, as it names itself; None without an owner."""
    segments: int
    bytes: int
    events: int
    oldest_ns: int | None
    batch_ids: int
    """In the logs; the ids in segments are not counted."""
    quarantine_pieces: int
    quarantine_rows: int
    quarantine_bytes: int


@dataclass(frozen=True, slots=True)
class Checked:
    """One segment after a comparison of all its bytes with their checksums."""

    name: str
    records: int
    events: int
    damaged_bytes: int
    missing_events: int
    problem: str = ""
    """Why it cannot be inserted by this version; empty when it can."""

    @property
    def whole(self) -> bool:
        """Return whether all events of the segment can be stored."""
        return not (self.damaged_bytes or self.missing_events or self.problem)


def status_of(directory: Path) -> Status:
    """Return the status of a spool; raises SpoolError if the directory has no spool that this version reads."""
    folders = _folders(directory)
    segments = _segment_files(folders)
    pieces = _files(folders.quarantine)
    return Status(
        directory=str(directory),
        owner=_owner(folders.lock),
        segments=len(segments),
        bytes=sum(size for _, size in segments),
        events=sum(_events_of(path, size) for path, size in segments),
        oldest_ns=min((_created_ns(path.name) for path, _ in segments), default=None),
        batch_ids=sum(size // ENTRY_BYTES for _, size in _files(folders.ids)),
        quarantine_pieces=sum(path.name.endswith(NOTE) for path, _ in pieces),
        quarantine_rows=sum(_rows_of(path) for path, _ in pieces if path.name.endswith(NOTE)),
        quarantine_bytes=sum(size for _, size in pieces),
    )


def verify(directory: Path) -> Iterator[Checked]:
    """Check every segment, the oldest first; raises SpoolError as `status_of` does."""
    folders = _folders(directory)
    owned = _owner(folders.lock) is not None
    for path, _ in _segment_files(folders):
        with suppress(FileNotFoundError):
            yield check_segment(path, is_active=owned and path.name.endswith(OPEN))


def check_segment(path: Path, *, is_active: bool = False) -> Checked:
    """Compare all bytes of a segment with their checksums; raises OSError."""
    sealed = segment.parse_sealed(path.name, 0)
    token = sealed.token if sealed else path.name.removesuffix(OPEN)
    data = path.read_bytes()[: sealed.length if sealed else None]
    records, damages = segment.scan(data, token)
    damaged = sum(damage.end - damage.offset for damage in damages)
    if is_active and damages and damages[-1].end == len(data):
        damaged -= damages[-1].end - damages[-1].offset
    if sealed is not None:
        damaged += max(0, sealed.length - len(data))
    events = sum(record.rows for record in records)
    missing = max(0, sealed.rows - events) if sealed else 0
    return Checked(path.name, len(records), events, damaged, missing, _problem(data))


def _events_of(path: Path, size: int) -> int:
    sealed = segment.parse_sealed(path.name, size)
    return sealed.rows if sealed else check_segment(path).events


def _problem(data: bytes) -> str:
    version = segment.read_version(data)
    # None means a damaged header. The checksums of the records say which of them can be stored.
    return "" if version in (None, *segment.READABLE_VERSIONS) else f"format version {version} is unknown here"


def _folders(directory: Path) -> Folders:
    folders = Folders(directory)
    try:
        format_ = folders.format.read_bytes()
    except OSError as error:
        raise SpoolError(f"{directory} is no spool: {folders.format.name} {error.strerror}") from error
    if format_ != FORMAT:
        raise SpoolVersionError(f"{directory} is {format_[:60]!r}; this version reads {FORMAT!r}")
    return folders


def _segment_files(folders: Folders) -> list[tuple[Path, int]]:
    return [(path, size) for path, size in _files(folders.segments) if path.suffix in (".seg", OPEN)]


def _files(folder: Path) -> list[tuple[Path, int]]:
    files = []
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are wanted, not paths
            with suppress(FileNotFoundError):
                files.append((folder / name, (folder / name).stat().st_size))
    return files


def _created_ns(name: str) -> int:
    return int(name[:20]) if name[:20].isdigit() else 0


def _rows_of(note: Path) -> int:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads(note.read_bytes())["rows"])
    return 0


def _owner(lock: Path) -> str | None:
    """Return the owner of the lock, from the kernel's list: an attempt to lock could break a collector's start."""
    try:
        inode = lock.stat().st_ino
        entry = re.search(rf"FLOCK .* (\d+) \S+:{inode} ", LOCKS.read_text())
        return (lock.read_text(errors="replace").strip() or f"process {entry[1]}") if entry else None
    except OSError:
        return None
