"""Recover a spool's directory at a start.

A sealed segment is used as its name says. An active segment of an earlier process was never inserted: it is sealed at
the end of its last whole record, without a torn tail. Its bytes are copied to a new file, which is fsync'd, before
they count:

- A killed process leaves bytes that only the page cache has.
- After a failed fsync, the kernel would report an fsync of the old file as a success.
- A repeated batch whose id is in these bytes gets a 200, so the bytes must be on the disk.
"""

from __future__ import annotations

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
    """The paths in a spool's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lock = directory / "lock"
        self.format = directory / "format"
        self.reserve = directory / "reserve"
        self.segments = directory / "segments"
        self.ids = directory / "ids"
        self.quarantine = directory / "quarantine"
        self.plans = directory / "plans"


@dataclass(slots=True)
class Recovered:
    """The recovered segments, and the batch keys in them."""

    lock_handle: int
    segments: list[Sealed]
    keys: list[tuple[bytes, int]]


def recover(folders: Folders, files: Files, *, since_ns: int) -> Recovered:
    """Lock the directory and recover its segments; raises SpoolError or OSError.

    Batch keys are read from segments begun after `since_ns`. The keys of older segments are outside the window.
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
    """Write the reserve if the disk has room. Without a reserve, the spool may not leave a full disk by itself."""
    with suppress(OSError):
        write_new(files, path, bytes(RESERVE_BYTES))


def _check_format(folders: Folders, files: Files) -> None:
    """Refuse a spool that this version cannot read, before anything is changed."""
    with suppress(FileNotFoundError):
        format_ = files.read(folders.format)
        if format_ and format_ != FORMAT:
            raise SpoolVersionError(f"{folders.directory} is {format_[:60]!r}; this version reads {FORMAT!r}")
    for path in _segment_files(folders, files):
        version = segment.read_version(files.read(path, segment.HEADER_BYTES))
        # None means a torn or damaged header. The checksums of the records say which of them are whole.
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
        if not records or any(sealed.token == token for sealed in recovered.segments):
            # No record of it was acknowledged; or an earlier start was killed after it had made the copy.
            files.remove(path)
            return
        rows = sum(record.rows for record in records)
        sealed = Sealed(token, records[-1].end, rows, records[-1].end)
        _seal_copy(folders, files, path, bytes(data[: sealed.length]), sealed)
    elif name.endswith(".copy"):
        files.remove(path)
        return
    else:
        parsed = segment.parse_sealed(name, files.size(path))
        if parsed is None:
            logger.warning("%s is no segment and is left alone", name)
            return
        sealed = parsed
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
        # The disk has no room for a copy. An fsync of the old file is the best possible then.
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
