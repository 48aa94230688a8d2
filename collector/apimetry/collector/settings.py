"""The collector's settings: one frozen object, made once at start."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class FsyncPolicy(str, Enum):
    """When an acknowledged batch is safe from a power loss: before its 200, or an interval later."""

    always = "always"
    interval = "interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Where batches wait for the store, how much of them, and how they get to the disk."""

    directory: Path
    """Of this collector alone; made with mode 0700 if missing."""
    max_bytes: int = 4 * GIB
    """All segments together; a batch that would exceed it is refused with 503."""
    segment_bytes: int = 32 * MIB
    """A segment is sealed when its next record would exceed this: some 300,000 events. Every insert makes rows of its
    own in each rollup, so that a large one costs less per event."""
    segment_records: int = 32_768
    """A segment is sealed at this many batches, so that their ids fit in the spool's 1 MiB reserve."""
    segment_age_s: float = 0.5
    """A segment is sealed this long after its first record, so that events are queryable within 2 s."""
    fsync: FsyncPolicy = FsyncPolicy.always
    fsync_interval_s: float = 1.0
    """The most that a power loss takes under `interval`; without meaning under `always`."""
    quarantine_max_bytes: int = 256 * MIB
    """What is put aside for a person; beyond it bytes are dropped, counted and logged."""
    batch_window_s: float = 86_400.0
    """A repeated batch id is recognized for this long after it was acknowledged."""
    batch_window_ids: int = 1_000_000
    """At least this many ids are remembered (the newest) within that time; about 20 bytes of memory each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings:
    """Limits on what is taken in, and how it is written; units are in the names."""

    spool: SpoolSettings
    max_body_bytes: int = 8 * MIB
    """As it is sent, compressed or not."""
    max_inflated_bytes: int = 16 * MIB
    """After inflating; nothing is ever inflated past it."""
    max_batch_events: int = 10_000
    max_held_bytes: int = 64 * MIB
    """All bodies in memory together; the excess is refused with 503 before it is read."""
    body_timeout_s: float = 30.0
    """A body that is not complete by then is cut off with 408."""
    min_body_bytes_per_s: int = 1 * KIB
    """A sender slower than this, after the first five seconds, is cut off with 408."""
    inline_decode_bytes: int = 64 * KIB
    """Larger bodies are decoded outside the event loop."""
    events_per_s_per_key: float = 0.0
    """What one key may send on average, with bursts of ten seconds' worth; 0: no limit."""
    hold_back_s: float = 0.5
    """How long a refusal over that rate is held back: who does not heed it sends no faster, and costs the less."""
    hard_call_limit: bool = False
    """Whether an organization over its plan's calls per month is refused; otherwise its plan only shows them."""
    retry_after_s: int = 5
    """What a refused sender is told to wait."""
    max_ahead_s: int = 24 * 3600
    """How far in the future an event's timestamp may lie."""
    min_backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    """Between attempts to insert while the store is away; jittered, without end."""
    drain_timeout_s: float = 5.0
    """How long a stop waits for the spool to reach the store; what is left waits on disk."""
