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

_WRITE: Final = """INSERT INTO collector_reports (collector, at, started_at, version, spool_bytes, spool_limit_bytes,
  segments, oldest_segment_s, has_room, received, stored, rejected, quarantined)
SELECT {collector:String}, now64(3), {started_at:DateTime64(3, 'UTC')}, {version:String}, {spool_bytes:UInt64},
  {spool_limit_bytes:UInt64}, {segments:UInt64}, {oldest_segment_s:Float64}, {has_room:UInt8}, {received:UInt64},
  {stored:UInt64}, mapFromArrays({reasons:Array(String)}, {counts:Array(UInt64)}), {quarantined:UInt64}"""
_READ: Final = """SELECT collector, version, started_at, at,
  (toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(at)) / 1000 AS age_s,
  spool_bytes, spool_limit_bytes, segments, oldest_segment_s, has_room, received, stored, rejected, quarantined
FROM collector_reports FINAL
ORDER BY collector"""


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


def record_report(store: Store, identity: CollectorIdentity, figures: CollectorFigures) -> None:
    """Write a report in the place of the collector's last one; blocks, raises StoreError."""
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
        ),
    )
