"""Replay quarantined rows: write every piece into a segment of its own, which a collector inserts.

The segment's token comes from the piece's name, and a repeated replay writes the same bytes. So a replay that was
killed after it had written the segment can be repeated, before or after a collector has stored the segment. The store
takes the rows once. The segment's record has a report of the sender that adds no captured or sent events. With it,
the sender's `stored` grows by the rows, in the minute in which the rows were received.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import msgspec

from apimetry.collector.errors import SpoolError, SpoolLockedError
from apimetry.collector.spool import segment
from apimetry.collector.spool.files import Files, write_new
from apimetry.collector.spool.inspection import status_of
from apimetry.collector.spool.quarantine import NOTE, Origin
from apimetry.collector.spool.recovery import Folders
from apimetry.collector.spool.segment import NOTHING_SENT_BEFORE, Entry, Meta, Report, Sealed
from apimetry.store.events import ROW_COLUMNS
from apimetry.store.native import NativeError, with_nullable_types

ROWS = ".rows"


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result for one quarantined piece."""

    name: str
    rows: int
    kept: str = ""
    """Why the piece stays (empty: it was replayed). The command's JSON has this name, too."""


def replay(directory: Path, files: Files) -> list[Replayed]:
    """Replay every piece of whole rows; raises SpoolError, SpoolLockedError while a collector runs, or OSError."""
    status_of(directory)  # raises SpoolError if the directory is no spool
    folders = Folders(directory)
    try:
        lock = files.lock(folders.lock, f"process {os.getpid()} (spool replay)")
    except BlockingIOError as error:
        raise SpoolLockedError(f"The spool belongs to a running collector: {error}. Stop it first") from error
    try:
        notes = [name for name in files.names(folders.quarantine) if name.endswith(NOTE)]
        return [_replay_piece(folders, files, name.removesuffix(NOTE)) for name in notes]
    finally:
        files.close(lock)


def _replay_piece(folders: Folders, files: Files, name: str) -> Replayed:
    path, note_path = folders.quarantine / name, folders.quarantine / f"{name}{NOTE}"
    try:
        note = json.loads(files.read(note_path))
        rows, origin = int(note["rows"]), msgspec.convert(note, Origin)
    except (ValueError, KeyError, TypeError):
        return Replayed(name, 0, "its note cannot be read")
    if not name.endswith(ROWS):
        return Replayed(name, rows, "it is damaged bytes, not rows")
    try:
        body = bytes(with_nullable_types(bytes(files.read(path)), ROW_COLUMNS))
    except NativeError as error:
        return Replayed(name, rows, f"it is no block that this version reads: {error}")
    _write_segment(folders, files, name, Entry(_meta(origin), rows, body))
    files.remove(note_path)
    files.remove(path)
    files.sync_folder(folders.quarantine)
    return Replayed(name, rows)


def _meta(origin: Origin) -> Meta:
    # Captured and sent merge by their maximum, sent_before by its minimum, stored by its sum.
    report = Report(origin.instance, 0, NOTHING_SENT_BEFORE, 0, {}) if origin.instance else None
    return Meta(None, origin.application, origin.received_us, report)


def _write_segment(folders: Folders, files: Files, piece: str, entry: Entry) -> None:
    created_ns = int(piece[:20]) if piece[:20].isdigit() else 0
    token = f"{created_ns:020d}-{blake2b(piece.encode(), digest_size=16).hexdigest()}"
    header = segment.encode_header(created_ns)
    data = header + segment.encode_record(entry, token, len(header))
    sealed = Sealed(token, len(data), entry.rows, len(data))
    copy = folders.segments / f"{token}.copy"
    if copy.name in files.names(folders.segments):
        files.remove(copy)
    try:
        write_new(files, copy, data)
    except OSError as error:
        raise SpoolError(f"{piece} cannot be put back: {error.strerror}") from error
    files.rename(copy, folders.segments / sealed.name)
    files.sync_folder(folders.segments)
