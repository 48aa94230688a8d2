"""What a body held, in whatever format it came."""

from collections import Counter
from dataclasses import dataclass, field

from apimetry.collector.formats.event_structs import Sender
from apimetry.collector.formats.lenient import Detail

MAX_DETAILS = 100
"""Rejected events that are described one by one."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """What a body held: rows as a block, and counts of everything else."""

    accepted: int = 0
    row_bytes: bytes = b""
    """The rows to store as one block; empty if there are none."""

    batch_id: bytes | None = None
    sender: Sender | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    """Events by reason: `invalid`, `timestamp_ahead`, `timestamp_expired`."""

    details: list[Detail] = field(default_factory=list)
    """Of the first rejected events, MAX_DETAILS at most, ascending."""
    cut_strings: int = 0
    unknown_fields: int = 0

    @property
    def rejected_total(self) -> int:
        """Events that are not stored."""
        return sum(self.rejected.values())
