"""The collector's settings: one frozen object, which is made once at the start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class FsyncPolicy(str, Enum):
    """When an acknowledged batch is safe from a power loss: before its 200 (`always`), or an interval later."""

    always = "always"
    interval = "interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Where batches wait for the store, how many bytes may wait, and when they are on the disk."""

    directory: Path
    """Only this collector uses it; it is made with mode 0700 if missing."""
    max_bytes: int = 4 * GIB
    """For all segments together; a batch that would exceed it is refused with 503."""
    segment_bytes: int = 32 * MIB
    """A segment is sealed when its next record would exceed this: some 300,000 events. Every insert makes its own
    rows in every rollup, so a large insert costs less per event."""
    segment_records: int = 32_768
    """A segment is sealed at this many batches, so that their ids fit in the spool's 1 MiB reserve."""
    segment_age_s: float = 1.0
    """A segment is sealed this long after its first record, so that events are queryable within 2 s. After a pause of
    twice this time, it is sealed after a tenth. An insert has a price, however few its rows."""
    fsync: FsyncPolicy = FsyncPolicy.always
    fsync_interval_s: float = 1.0
    """Under `interval`, a power loss takes the batches of this time at most; without meaning under `always`."""
    quarantine_max_bytes: int = 256 * MIB
    """For all quarantined pieces together; a piece that would exceed it is dropped, counted and logged."""
    batch_window_s: float = 86_400.0
    """A repeated batch id is recognized for this long after it was acknowledged."""
    batch_window_ids: int = 1_000_000
    """At least this many of the newest ids are remembered within that time; an id takes about 20 bytes of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings:
    """Limits on requests, and how the collector writes to the store; units are in the names."""

    spool: SpoolSettings
    max_body_bytes: int = 8 * MIB
    """For a body as it is sent, compressed or not."""
    max_inflated_bytes: int = 16 * MIB
    """For an inflated body; no body is inflated past it."""
    max_batch_events: int = 10_000
    max_held_bytes: int = 64 * MIB
    """For all bodies in memory together; a body that would exceed it is refused with 503 before it is read."""
    body_timeout_s: float = 30.0
    """A body that is not complete after this time is cut off with 408."""
    min_body_bytes_per_s: int = 1 * KIB
    """A slower sender is cut off with 408 after the first five seconds."""
    inline_decode_bytes: int = 64 * KIB
    """Larger bodies are decoded outside the event loop."""
    events_per_s_per_key: float = 0.0
    """The average rate that one key may send at, with bursts of ten seconds' worth; 0: no limit."""
    hold_back_s: float = 0.5
    """A refusal over that rate is sent this much later, so that a sender that ignores it repeats its requests
    slowly."""
    hard_call_limit: bool = False
    """Whether batches of an organization over its plan's calls per month are refused; if not, the calls are only
    shown."""
    traffic_metrics: bool = False
    """Whether requests are counted for Prometheus."""
    retry_after_s: int = 5
    """The wait that a refused sender is told."""
    max_ahead_s: int = 24 * 3600
    """How far in the future an event's timestamp may lie."""
    min_backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    """The wait between two attempts to insert while the store is away grows from the first to the second value, with
    jitter. The attempts never end."""
    drain_timeout_s: float = 5.0
    """How long a stop waits until the spool is in the store; the rest of the spool waits on disk."""
