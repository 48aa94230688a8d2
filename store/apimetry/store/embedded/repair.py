"""Remove an embedded store's tokens that have no rows, before the engine starts.

MergeTree first writes a block's token to the table's deduplication log. Then it renames the block's part to its final
name. A process that is killed between the two steps leaves a token without rows. The engine would drop the retry as a
duplicate, and the segment would be lost. So this module removes a token whose part is neither on disk nor merged into
another part. The engine does the same when a part is dropped. Every table has its own log, so the same retry also
repairs a rollup that missed the block. (A server has the same gap of microseconds. ReplicatedMergeTree has no gap: it
commits token and part together.)

A power cut has one more effect. The engine fsyncs every part with its directory before it answers an insert
(`fsync_after_insert`, `fsync_part_directory`; seen with strace on chDB 26.9), but it never fsyncs the log. `intent`
fsyncs the log. This module removes the torn bytes that a power cut leaves after the log's last whole line.

A line of the log: `1` (added) or `2` (dropped), the part's name and the block's id, separated by tabs.
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
    """A part that is or was on disk: its partition, and the first and the last block number in the part."""

    path: Path
    partition: str
    first: int
    last: int

    def covers(self, other: Part) -> bool:
        """Return whether this part holds every block of the other."""
        return self.partition == other.partition and self.first <= other.first and other.last <= self.last


def parts_of(table: Path) -> list[Part]:
    """Return the parts in a table's directory: merged parts and their sources."""
    parts = (_part_at(path) for path in table.iterdir() if path.is_dir())
    return [part for part in parts if part is not None]


def last_block(table: Path) -> int:
    """Return the highest block number of the parts in a table's directory; 0 where there is none."""
    # Without the kind of each entry, unlike `parts_of`: readers ask this while an insert runs.
    with os.scandir(table) as entries:
        parts = [_PART.fullmatch(entry.name) for entry in entries]
    return max((int(part[3]) for part in parts if part is not None), default=0)


def forget_lost_blocks(directory: Path) -> int:
    """Remove every token of the data directory whose rows are missing, and return the number of tokens."""
    return sum(_repair_table(logs) for logs in directory.glob(f"store/*/*/{LOGS}"))


def _repair_table(logs: Path) -> int:
    files = sorted(logs.glob("deduplication_log_*.txt"), key=lambda path: int(path.stem.rpartition("_")[2]))
    part_by_block: dict[str, str] = {}
    for file in files:
        for operation, part, block in _records(file):
            if operation == _ADDED:
                part_by_block[block] = part
            else:
                part_by_block.pop(block, None)
    by_partition: dict[str, list[Part]] = {}
    for part_on_disk in parts_of(logs.parent):
        by_partition.setdefault(part_on_disk.partition, []).append(part_on_disk)
    lost = {block: part for block, part in part_by_block.items() if not _is_covered(part, by_partition)}
    if lost:
        _append(files[-1], [f"{_DROPPED}\t{part}\t{block}\n" for block, part in lost.items()])
        logger.info("the tokens of %d inserted blocks that have no rows were taken back", len(lost))
    return len(lost)


def _records(file: Path) -> list[tuple[str, str, str]]:
    """Return the whole lines of the file, and cut torn or foreign bytes off the file's end."""
    text = file.read_bytes()
    records, end = [], 0
    while line := _LINE.match(text, end):
        records.append((line[1].decode(), line[2].decode(), line[3].decode()))
        end = line.end()
    if end < len(text):
        os.truncate(file, end)
    return records


def _part_at(path: Path) -> Part | None:
    match = _PART.fullmatch(path.name)
    return Part(path, match[1], int(match[2]), int(match[3])) if match else None


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
