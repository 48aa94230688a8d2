"""What a start finds in a spool's directory, and how it is made whole again.

A sealed segment is taken as its name says. The active one was never inserted: its whole records are kept, a torn
tail is left out, and it is sealed there. Its bytes are copied to a new file before they count: a killed process
leaves some that only the page cache has, an fsync that failed for it would now be reported as a success, and a
batch id found in them is answered with 200.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from apimetry.collector.errors import SpoolBrokenError, SpoolLockedError, SpoolVersionError
from apimetry.collector.spool import segment
from apimetry.collector.spool.files import Files, write_new
from apimetry.collector.spool.segment import Sealed

logger = logging.getLogger(__name__)

FORMAT = b"apimetry spool 1\n"
RESERVE_BYTES = 1024 * 1024


class Folders:
    """Where things are in a spool's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lock = directory / "lock"
        self.format = directory / "format"
        self.reserve = directory / "reserve"
        self.segments = directory / "segments"
        self.ids = directory / "ids"
        self.quarantine = directory / "quarantine"


@dataclass(slots=True)
class Recovered:
    """What was there: segments for the writer, and the batch keys in them."""

    lock_handle: int
    segments: list[Sealed]
    keys: list[tuple[bytes, int]]


def recover(folders: Folders, files: Files, *, since_ns: int) -> Recovered:
    """Take the directory and make it whole; raises SpoolError or OSError.

    Batch keys are read from segments begun after `since_ns`; older ones are outside the window.
    """
    files.make_folder(folders.directory)
    try:
        lock_handle = files.lock(folders.lock, f"process {os.getpid()}")
    except BlockingIOError as error:
        raise SpoolLockedError(f"The spool belongs to another process: {error}") from error
    try:
        _check_format(folders, files)
        files.make_folder(folders.segments)
        write_new(files, folders.format, FORMAT)
        files.sync_folder(folders.directory)
        files.sync_folder(folders.segments)
        recovered = Recovered(lock_handle, [], [])
        for name in files.names(folders.segments):
            _recover_segment(folders, files, name, recovered)
        for sealed in recovered.segments:
            if sealed.created_ns >= since_ns:
                recovered.keys += _keys(folders, files, sealed)
        files.sync_folder(folders.segments)
        write_reserve(files, folders.reserve)
    except BaseException:
        files.close(lock_handle)
        raise
    return recovered


def write_reserve(files: Files, path: Path) -> None:
    """Hold some of the disk back, if there is any; without it a full disk is only harder to leave."""
    with suppress(OSError):
        write_new(files, path, bytes(RESERVE_BYTES))


def _check_format(folders: Folders, files: Files) -> None:
    """Refuse what this version cannot read before anything is changed."""
    with suppress(FileNotFoundError):
        found = files.read(folders.format)
        if found and found != FORMAT:
            raise SpoolVersionError(f"{folders.directory} is {found[:60]!r}; this version reads {FORMAT!r}")
    for path in _segment_files(folders, files):
        version = segment.read_version(files.read(path, segment.HEADER_BYTES))
        # None is torn or damaged, of which the records' own checksums tell the rest.
        if version not in (None, *segment.READABLE_VERSIONS):
            readable = ", ".join(map(str, segment.READABLE_VERSIONS))
            raise SpoolVersionError(
                f"{path.name} has format version {version}; this version reads {readable}; "
                "let the version that wrote it drain the spool"
            )


def _segment_files(folders: Folders, files: Files) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for name in files.names(folders.segments):
            if name.endswith((".open", ".seg")):
                yield folders.segments / name


def _recover_segment(folders: Folders, files: Files, name: str, recovered: Recovered) -> None:
    path = folders.segments / name
    if name.endswith(".open"):
        data, token = files.read(path), name.removesuffix(".open")
        records, _ = segment.scan(data, token)
        if not records or any(found.token == token for found in recovered.segments):
            # Nothing in it was ever acknowledged; or an earlier start was killed after it had made the copy.
            files.remove(path)
            return
        rows = sum(record.rows for record in records)
        sealed = Sealed(token, records[-1].end, rows, records[-1].end)
        _seal_copy(folders, files, path, bytes(data[: sealed.length]), sealed)
    elif name.endswith(".copy"):
        files.remove(path)
        return
    else:
        found = segment.parse_sealed(name, files.size(path))
        if found is None:
            logger.warning("%s is no segment and is left alone", name)
            return
        sealed = found
    recovered.segments.append(sealed)


def _keys(folders: Folders, files: Files, sealed: Sealed) -> list[tuple[bytes, int]]:
    data = files.read(folders.segments / sealed.name, sealed.length)
    records, _ = segment.scan(data, sealed.token)
    keys = ((record.meta.batch_key, record.meta.received_us) for record in records)
    return [(key, received_us) for key, received_us in keys if key is not None]


def _seal_copy(folders: Folders, files: Files, path: Path, data: bytes, sealed: Sealed) -> None:
    copy = folders.segments / f"{sealed.token}.copy"
    try:
        with suppress(FileNotFoundError):
            files.remove(copy)
        write_new(files, copy, data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise SpoolBrokenError(f"{path.name} cannot be recovered: {error.strerror}") from error
        # No room for a copy: the bytes in place, and the word of this fsync, are the best there is.
        _sync_file(files, path)
        files.rename(path, folders.segments / sealed.name)
        return
    files.rename(copy, folders.segments / sealed.name)
    files.sync_folder(folders.segments)
    files.remove(path)


def _sync_file(files: Files, path: Path) -> None:
    handle = files.reopen(path)
    try:
        files.sync(handle)
    except OSError as error:
        raise SpoolBrokenError(f"{path.name} cannot be brought to the disk: {error.strerror}") from error
    finally:
        files.close(handle)
