"""Make an insert into an embedded store atomic, also across a power cut: all of its rows are stored, or none.

An insert makes parts in its table and in every rollup that the table feeds. The engine fsyncs every part with its
directory. It does not fsync the deduplication logs, which hold the parts' tokens. After a power cut a token can be
lost while its rows are stored, and the retry would count the rows twice. So embedded inserts run one at a time, in
three steps:

1. Write and fsync the intent: for every table that will get parts, the highest block number on disk.
2. The engine inserts. The new parts have higher block numbers.
3. Fsync the tables' deduplication logs. Then empty the intent, fsync it, and answer the insert.

An intent with content at a start means that an insert was never answered. The insert's segment is still in the spool.
`undo` removes the parts with higher block numbers before the engine runs. `repair` removes their tokens. The retry
then inserts the whole segment again. `undo` also removes a part that was merged from old and new parts. The sources
of a merged part stay on disk for eight minutes (the engine's `old_parts_lifetime`), and the engine reads the sources
again. Other statements that make parts in these tables hold inserts while they run (`Intents.hold`).

The file has two lines: JSON, `{table's directory: block number}`, and the CRC-32 of the JSON in hex. A torn file
belongs to an insert that had not begun.

Who reads several tables compares the `moment` before with the one after. At the end of an insert the engine shows the
new rows, table by table. Before it shows a part's rows, it gives the part its final name.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

from apimetry.store.embedded.repair import LOGS, Part, last_block, parts_of
from apimetry.store.errors import StoreUnavailable
from apimetry.store.private_files import FILE_MODE

logger = logging.getLogger(__name__)

NAME: Final = "insert.intent"
PATIENCE_S: Final = 1.0
"""How long an insert waits for another insert, or for `hold`. Then the store refuses it, and the caller retries."""

READING_S: Final = 0.5
"""How long an insert waits for readers, and a reader for an insert."""

Blocks = Mapping[Path, int]
"""The highest block number on disk, by a table's directory."""

TableRow = tuple[str, Sequence[str], Sequence[str]]
"""A row of `system.tables`: name, views that read from the table, data paths. A view has its target's paths."""


class Intents:
    """The intents of one data directory, which this process owns; safe from several threads.

    Mutable state: the file and `_failed` under `_lock`; the number of readers, `holds`, and `_state`, under
    `_reading`. As `_state` is replaced as a whole, `moment` needs no lock.
    """

    def __init__(self, directory: Path, *, patience_s: float = PATIENCE_S) -> None:
        self._handle = os.open(directory / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._directory = directory
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._failed = False
        self._reading = threading.Condition()
        self._readers = 0
        # How many inserts and holds have ended, and whether the one under way may have shown a change; None: none is.
        self._state: tuple[int, Callable[[], bool] | None] = (0, None)
        self.holds = 0
        """How many holds have begun."""

    def close(self) -> None:
        """Close the file; an intent in the file stays."""
        os.close(self._handle)

    def moment(self) -> int | None:
        """Return a number, another one after each insert and each hold; None while one of them may show changes.

        If it is the same number later, no insert and no hold has shown any change in between.
        """
        number, may_show = self._state
        return None if may_show is not None and may_show() else number

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold all inserts until the block ends. The block begins when the insert under way has ended."""
        with self._lock:
            with self._reading:
                self.holds += 1
                self._state = (self._state[0], lambda: True)
            try:
                yield
            finally:
                self._end()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Make inserts wait until the block ends, for READING_S at most.

        The block begins when the insert under way has ended, or after READING_S.
        """
        with self.delaying():
            with self._reading:
                self._reading.wait_for(lambda: self._state[1] is None, READING_S)
            yield

    @contextmanager
    def delaying(self) -> Iterator[None]:
        """Make an insert that has not begun wait until the block ends, for READING_S at most."""
        with self._reading:
            self._readers += 1
        try:
            yield
        finally:
            with self._reading:
                self._readers -= 1
                self._reading.notify_all()

    @contextmanager
    def insert(self, tables: Sequence[Path], *, of_events: bool = True) -> Iterator[None]:
        """Write the intent of an insert that makes parts in `tables` (directories), and clear it when the block ends.

        An insert that is not `of_events` changes nothing for readers: it waits for none, and the moment stays.

        Raises:
            StoreUnavailable: inserts are held, or the disk refused a write. The end of the block can raise it, too.
        """
        if not self._lock.acquire(timeout=self._patience_s):
            raise StoreUnavailable("inserts are held for now")
        try:
            if self._failed:
                raise StoreUnavailable("the store's disk refused an fsync: inserts go on after a restart")
            blocks = self._note(tables)
            with self._showing(blocks) if of_events else nullcontext():
                try:
                    yield
                finally:
                    self._settle(tables)
        finally:
            self._lock.release()

    @contextmanager
    def _showing(self, blocks: Blocks) -> Iterator[None]:
        with self._reading:
            self._reading.wait_for(lambda: not self._readers, READING_S)
            self._state = (self._state[0], partial(_has_parts_above, blocks))
        try:
            yield
        finally:
            self._end()

    def _end(self) -> None:
        with self._reading:
            self._state = (self._state[0] + 1, None)
            self._reading.notify_all()

    def _note(self, tables: Sequence[Path]) -> Blocks:
        try:
            blocks = _blocks_of(tables)
            self._write(_encode(self._directory, blocks))
        except OSError as error:
            raise StoreUnavailable(f"an insert cannot be noted: {error.strerror}") from error
        return blocks

    def _settle(self, tables: Sequence[Path]) -> None:
        try:
            for table in tables:
                _sync_logs(table)
            self._write(b"")
        except OSError as error:
            # The next fsync would succeed although these bytes are lost. So the intent must outlive this process.
            self._failed = True
            raise StoreUnavailable(f"an insert cannot be brought to the disk: {error.strerror}") from error

    def _write(self, data: bytes) -> None:
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, data, 0)
        os.fsync(self._handle)


def fed_tables(rows: Iterable[TableRow], table: str) -> list[Path]:
    """Return the directories of `table` and of all tables that its views fill, directly or through other views."""
    table_rows = list(rows)
    views = {name: dependencies for name, dependencies, _ in table_rows}
    paths = {name: Path(data_paths[0]) for name, _, data_paths in table_rows if data_paths}
    directories = [paths[table]]
    for directory in directories:  # the loop body appends to the list
        names = [name for name in paths if paths[name] == directory]
        targets = (paths[view] for name in names for view in views[name] if view in paths)
        directories += dict.fromkeys(target for target in targets if target not in directories)
    return directories


def encode_intent(directory: Path, tables: Sequence[Path]) -> bytes:
    """Return the bytes of the intent of an insert into `tables`."""
    return _encode(directory, _blocks_of(tables))


def _blocks_of(tables: Sequence[Path]) -> Blocks:
    return {table: last_block(table) for table in tables}


def _has_parts_above(blocks: Blocks) -> bool:
    return any(last_block(table) > block for table, block in blocks.items())


def _encode(directory: Path, blocks: Blocks) -> bytes:
    line = json.dumps({os.path.relpath(table, directory): block for table, block in blocks.items()}).encode()
    return b"%s\n%08x\n" % (line, zlib.crc32(line))


def read_intent(directory: Path) -> Mapping[Path, int]:
    """Return every table's highest block number before the unanswered insert; empty where there is no intent."""
    try:
        lines = (directory / NAME).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    if len(lines) != 3 or lines[1] != b"%08x" % zlib.crc32(lines[0]):
        return {}
    return {directory / table: block for table, block in json.loads(lines[0]).items()}


def undo(directory: Path) -> int:
    """Remove the parts of an unanswered insert and return their number; call it before the engine starts."""
    removed = 0
    for table, block in read_intent(directory).items():
        if table.is_dir():
            removed += _remove_above(table, block)
    handle = os.open(directory / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        os.ftruncate(handle, 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    if removed:
        logger.info("%d parts of an insert that was cut off were removed; its segment comes again", removed)
    return removed


def _remove_above(table: Path, block: int) -> int:
    parts = parts_of(table)
    above = [part for part in parts if part.last > block]
    for part in above:
        if part.first <= block and not _has_sources(part, parts):
            logger.error(
                "%s cannot be taken back: its sources are gone; one segment may be counted twice", part.path.name
            )
            return 0
    for part in above:
        # If the removal is interrupted, the engine removes parts with this prefix itself.
        renamed = part.path.with_name(f"tmp_undone_{part.path.name}")
        part.path.rename(renamed)
        shutil.rmtree(renamed)
    _sync(table)
    return len(above)


def _has_sources(merged: Part, parts: Iterable[Part]) -> bool:
    """Return whether the sources of a merged part are on disk: the engine removes the first and the last together."""
    sources = [part for part in parts if part != merged and merged.covers(part)]
    return any(part.first == merged.first for part in sources) and any(part.last == merged.last for part in sources)


def _sync_logs(table: Path) -> None:
    logs = table / LOGS
    for file in logs.iterdir():
        _sync(file)
    _sync(logs)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
