"""Keep the last report of every collector: the size of its spool, and what it did with events since its start.

The store's clock says when a report came, so that collectors with other clocks can be compared. A collector that is
gone leaves its last report for 30 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from apimetry.store.statement import Ask, Statement
from apimetry.store.versions import APPEND

if TYPE_CHECKING:
    from apimetry.store.client import Store

SILENT_AFTER_S: Final = 180
"""Three times the longest pause between two reports of a collector that lives and reaches the store."""

_WRITE: Final = """INSERT INTO collector_reports (collector, at, started_at, version, spool_bytes, spool_limit_bytes,
  segments, oldest_segment_s, has_room, received, stored, rejected, quarantined, rejected_at, quarantine_pieces,
  quarantine_rows, quarantine_reason, spool_free_bytes)
SELECT {collector:String}, now64(3), {started_at:DateTime64(3, 'UTC')}, {version:String}, {spool_bytes:UInt64},
  {spool_limit_bytes:UInt64}, {segments:UInt64}, {oldest_segment_s:Float64}, {has_room:UInt8}, {received:UInt64},
  {stored:UInt64}, mapFromArrays({reasons:Array(String)}, {counts:Array(UInt64)}), {quarantined:UInt64},
  mapFromArrays({reasons_with_time:Array(String)}, {times_s:Array(UInt64)}), {quarantine_pieces:Nullable(UInt64)},
  {quarantine_rows:Nullable(UInt64)}, {quarantine_reason:String}, {spool_free_bytes:Nullable(UInt64)}"""
_READ: Final = """SELECT collector, version, started_at, at,
  (toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(at)) / 1000 AS age_s,
  spool_bytes, spool_limit_bytes, segments, oldest_segment_s, has_room, received, stored, rejected, quarantined,
  rejected_at, quarantine_pieces, quarantine_rows, quarantine_reason, spool_free_bytes
FROM collector_reports FINAL
ORDER BY collector"""


@dataclass(frozen=True)
class QuarantineFigures:
    """What a quarantine holds, which earlier processes filled, too: pieces, their rows, why the newest is there."""

    pieces: int = 0
    rows: int = 0
    newest_reason: str = ""
    """Of at most 200 characters, without anything from an event; empty without pieces."""


@dataclass(frozen=True)
class CollectorFigures:
    """What a collector says of itself. Events count since its start, with those that it found in its spool then.

    received = stored + rejected + quarantined + those in the spool.
    """

    spool_bytes: int = 0
    spool_limit_bytes: int = 0
    segments: int = 0
    oldest_segment_s: float = 0.0
    has_room: bool = True
    received: int = 0
    stored: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    quarantined: int = 0
    rejected_at: Mapping[str, int] = field(default_factory=dict)
    """When an event was last rejected, by reason, in seconds since the epoch."""
    quarantine: QuarantineFigures | None = None
    """None: the collector is of an earlier version."""
    spool_free_bytes: int | None = field(default=None, compare=False)
    """On the disk of the spool; None: not known. It changes by itself, so it is no reason for a report."""


@dataclass(frozen=True)
class CollectorIdentity:
    """A collector's name, its version and the start of its process."""

    name: str
    version: str
    started_at: datetime


@dataclass(frozen=True)
class CollectorReport:
    """The last report of a collector. `age_s` is the time since it came, in seconds by the store's clock."""

    identity: CollectorIdentity
    at: datetime
    age_s: float
    figures: CollectorFigures

    @property
    def is_silent(self) -> bool:
        """Return whether the collector is dead, or does not reach the store."""
        return self.age_s > SILENT_AFTER_S


def record_report(store: Store, identity: CollectorIdentity, figures: CollectorFigures) -> None:
    """Write a report in the place of the collector's last one; blocks, raises StoreError."""
    quarantine = figures.quarantine
    store.command(
        _WRITE,
        {
            "collector": identity.name,
            "started_at": identity.started_at,
            "version": identity.version,
            "spool_bytes": figures.spool_bytes,
            "spool_limit_bytes": figures.spool_limit_bytes,
            "segments": figures.segments,
            "oldest_segment_s": figures.oldest_segment_s,
            "has_room": int(figures.has_room),
            "received": figures.received,
            "stored": figures.stored,
            "reasons": list(figures.rejected),
            "counts": list(figures.rejected.values()),
            "quarantined": figures.quarantined,
            "reasons_with_time": list(figures.rejected_at),
            "times_s": list(figures.rejected_at.values()),
            "quarantine_pieces": None if quarantine is None else quarantine.pieces,
            "quarantine_rows": None if quarantine is None else quarantine.rows,
            "quarantine_reason": "" if quarantine is None else quarantine.newest_reason,
            "spool_free_bytes": figures.spool_free_bytes,
        },
        settings=APPEND,
    )


def collector_reports(*, ask: Ask) -> list[CollectorReport]:
    """Return the last report of every collector, by name. Blocks while `ask` does."""
    return [_report(row) for row in ask(Statement(_READ, is_live=True))]


def _report(row: tuple[Any, ...]) -> CollectorReport:
    return CollectorReport(
        identity=CollectorIdentity(name=row[0], version=row[1], started_at=row[2]),
        at=row[3],
        age_s=row[4],
        figures=CollectorFigures(
            spool_bytes=row[5],
            spool_limit_bytes=row[6],
            segments=row[7],
            oldest_segment_s=row[8],
            has_room=bool(row[9]),
            received=row[10],
            stored=row[11],
            rejected=row[12],
            quarantined=row[13],
            rejected_at=row[14],
            quarantine=None if row[15] is None else QuarantineFigures(row[15], row[16], row[17]),
            spool_free_bytes=row[18],
        ),
    )
