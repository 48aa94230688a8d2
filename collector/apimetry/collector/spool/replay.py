"""Quarantined rows back on their way to the store, as segments of their own.

A piece's segment has a token that is derived from the piece's name, and the same bytes each time: a replay that was
killed after it had made the segment can be repeated, before or after a collector has stored it, and the store takes
the rows once. Its record carries a report of the sender that counts nothing anew: with the rows the sender's `stored`
grows, in the minute in which they were received.
"""

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
    """One quarantined piece: its rows, and why it stays where it is (empty: it was put back)."""

    name: str
    rows: int
    kept: str = ""


def replay(directory: Path, files: Files) -> list[Replayed]:
    """Put every piece of whole rows back; raises SpoolLockedError while a collector owns the spool, and OSError."""
    status_of(directory)  # is it one?
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
