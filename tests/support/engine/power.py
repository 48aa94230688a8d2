"""What a power cut takes of an embedded store: the unsynced end of its deduplication logs, and parts without a name.

While an insert is under way its intent says which blocks were there before it: of the tables' logs the lines up to
those were synced, and parts up to those are whole. Of what came after, the disk may have anything.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from apimetry.store.embedded.intent import read_intent
from apimetry.store.embedded.repair import LOGS, parts_of


def cut_power(directory: Path, rng: random.Random) -> tuple[int, int]:
    """Lose some of it, after the process has died; returns the lines and parts that are gone."""
    lines = parts = 0
    for table, block in read_intent(directory).items():
        for log in (table / LOGS).iterdir():
            lines += _cut_lines(log, block, rng)
        parts += _cut_parts(table, block, rng)
    return lines, parts


def _cut_lines(log: Path, block: int, rng: random.Random) -> int:
    lines = log.read_bytes().splitlines(keepends=True)
    synced = [line for line in lines if int(line.split(b"\t")[1].split(b"_")[2]) <= block]
    line_count = rng.randint(len(synced), len(lines))
    torn = lines[line_count][: rng.randint(0, len(lines[line_count]) - 1)] if line_count < len(lines) else b""
    log.write_bytes(b"".join(lines[:line_count]) + torn + bytes(rng.choice([0, 7])) * bool(torn))
    return len(lines) - line_count


def _cut_parts(table: Path, block: int, rng: random.Random) -> int:
    parts = parts_of(table)
    # Not a merged one and not a source: of those the disk always has one or the other.
    alone = [part for part in parts if not any(a != part and (a.covers(part) or part.covers(a)) for a in parts)]
    lost = [part for part in alone if part.first > block and rng.random() < 0.3]
    for part in lost:
        shutil.rmtree(part.path)
    return len(lost)
