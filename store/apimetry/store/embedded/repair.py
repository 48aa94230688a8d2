"""Makes an embedded store's memory of tokens agree with its data, before the engine starts.

MergeTree notes a block's token in the table's deduplication log first and renames the block's part into place after
it. A process that is killed between the two leaves a token without its rows: the retry would be taken for a
repetition and the segment lost. So a token whose part is neither on disk nor merged into another is taken back, as
the engine itself does when a part is dropped. Each table has its own log, so a rollup that missed a block is mended
by the same retry. (A server has the same gap of microseconds; ReplicatedMergeTree, which commits both at once, has
not.)

A power cut differs in one point: the engine fsyncs each part with its directory before it answers an insert
(`fsync_after_insert`, `fsync_part_directory`; seen with strace on chDB 26.9), and the log never. `intent` makes up
for that; what a power cut leaves behind the log's last whole line is removed here.

The log's lines: `1` (added) or `2` (dropped), the part's name and the block's id, separated by tabs.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

LOGS: Final = "deduplication_logs"
_PART = re.compile(r"([^_]+)_(\d+)_(\d+)_\d+(?:_\d+)?")
_LINE = re.compile(rb"([12])\t([^\t\n\0]+)\t([^\t\n\0]+)\n")
_ADDED: Final = "1"
_DROPPED: Final = "2"


@dataclass(frozen=True)
class Part:
    """A part on disk, or one that was: its partition and the block numbers that it holds."""

    path: Path
    partition: str
    first: int
    last: int

    def covers(self, other: Part) -> bool:
        """Whether it holds every block of the other."""
        return self.partition == other.partition and self.first <= other.first and other.last <= self.last


def parts_of(table: Path) -> list[Part]:
    """The parts of a table's directory, merged ones and their sources."""
    parts = (_part_at(path) for path in table.iterdir() if path.is_dir())
    return [part for part in parts if part is not None]


def forget_lost_blocks(directory: Path) -> int:
    """Take back every token of the data directory whose rows are missing; returns how many."""
    return sum(_mend_table(logs) for logs in directory.glob(f"store/*/*/{LOGS}"))


def _mend_table(logs: Path) -> int:
    files = sorted(logs.glob("deduplication_log_*.txt"), key=lambda path: int(path.stem.rpartition("_")[2]))
    remembered: dict[str, str] = {}
    for file in files:
        for operation, part, block in _records(file):
            if operation == _ADDED:
                remembered[block] = part
            else:
                remembered.pop(block, None)
    by_partition: dict[str, list[Part]] = {}
    for found in parts_of(logs.parent):
        by_partition.setdefault(found.partition, []).append(found)
    lost = {block: part for block, part in remembered.items() if not _is_covered(part, by_partition)}
    if lost:
        _append(files[-1], [f"{_DROPPED}\t{part}\t{block}\n" for block, part in lost.items()])
        logger.info("the tokens of %d inserted blocks that have no rows were taken back", len(lost))
    return len(lost)


def _records(file: Path) -> list[tuple[str, str, str]]:
    """The file's whole lines; what follows them, torn or never written by the engine, is removed from it."""
    text = file.read_bytes()
    records, end = [], 0
    while line := _LINE.match(text, end):
        records.append((line[1].decode(), line[2].decode(), line[3].decode()))
        end = line.end()
    if end < len(text):
        os.truncate(file, end)
    return records


def _part_at(path: Path) -> Part | None:
    found = _PART.fullmatch(path.name)
    return Part(path, found[1], int(found[2]), int(found[3])) if found else None


def _is_covered(name: str, by_partition: dict[str, list[Part]]) -> bool:
    part = _part_at(Path(name))
    if part is None:
        return True
    others: Iterable[Part] = by_partition.get(part.partition, ())
    return any(other.covers(part) for other in others)


def _append(file: Path, lines: list[str]) -> None:
    with file.open("a", encoding="utf-8") as log:
        log.writelines(lines)
        log.flush()
        os.fsync(log.fileno())
