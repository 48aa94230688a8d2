"""Makes an embedded store's memory of tokens agree with its data, before the engine starts.

MergeTree notes a block's token in the table's deduplication log first and renames the block's part into place after
it. A process that is killed between the two leaves a token without its rows: the retry would be taken for a
repetition and the segment lost. So a token whose part is neither on disk nor merged into another is taken back, as
the engine itself does when a part is dropped. Each table has its own log, so a rollup that missed a block is mended
by the same retry. (A server has the same gap of microseconds; ReplicatedMergeTree, which commits both at once, has
not.)

A power cut differs in one point. An insert is answered when every file of each part, the part's directory and the
table's are fsync'd (`fsync_after_insert`, `fsync_part_directory`; seen with strace on chDB 26.9), and a segment is
unlinked after that: nothing acknowledged is lost. The log alone is not fsync'd, so that the tokens of the last half
minute can be missing beside their parts. That matters only for a segment that is still in the spool, which is the one
whose insert was under way: its retry can then be stored a second time.

The log's lines: `1` (added) or `2` (dropped), the part's name and the block's id, separated by tabs.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_PART = re.compile(r"([^_]+)_(\d+)_(\d+)_\d+(?:_\d+)?")
_ADDED: Final = "1"
_DROPPED: Final = "2"


def forget_lost_blocks(directory: Path) -> int:
    """Take back every token of the data directory whose rows are missing; returns how many."""
    return sum(_mend_table(logs) for logs in directory.glob("store/*/*/deduplication_logs"))


def _mend_table(logs: Path) -> int:
    files = sorted(logs.glob("deduplication_log_*.txt"), key=lambda path: int(path.stem.rpartition("_")[2]))
    remembered: dict[str, str] = {}
    for file in files:
        for operation, part, block in _records(file):
            if operation == _ADDED:
                remembered[block] = part
            else:
                remembered.pop(block, None)
    ranges = _part_ranges(logs.parent)
    lost = {block: part for block, part in remembered.items() if not _is_covered(part, ranges)}
    if lost:
        _append(files[-1], [f"{_DROPPED}\t{part}\t{block}\n" for block, part in lost.items()])
        logger.info("the tokens of %d inserted blocks that have no rows were taken back", len(lost))
    return len(lost)


def _records(file: Path) -> list[tuple[str, str, str]]:
    """The file's whole lines; what a power cut tore off its end is removed from it."""
    text = file.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(file, len(whole))
    fields = (line.split("\t") for line in whole.decode().splitlines())
    return [(line[0], line[1], line[2]) for line in fields if len(line) == 3]


def _part_ranges(table: Path) -> dict[str, list[tuple[int, int]]]:
    """The block numbers that parts on disk hold, by partition."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for path in table.iterdir():
        found = _PART.fullmatch(path.name)
        if found and path.is_dir():
            ranges.setdefault(found[1], []).append((int(found[2]), int(found[3])))
    return ranges


def _is_covered(part: str, ranges: dict[str, list[tuple[int, int]]]) -> bool:
    found = _PART.fullmatch(part)
    if found is None:
        return True
    first, last = int(found[2]), int(found[3])
    return any(low <= first and last <= high for low, high in ranges.get(found[1], ()))


def _append(file: Path, lines: list[str]) -> None:
    with file.open("a", encoding="utf-8") as log:
        log.writelines(lines)
        log.flush()
        os.fsync(log.fileno())
