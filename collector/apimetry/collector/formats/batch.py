"""The decoded content of a body, whatever its format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from apimetry.collector.formats.event_structs import Sender
from apimetry.collector.traffic.tally import Tally
from apimetry.serving.errors import Detail

MAX_DETAILS = 100
"""Rejected events that are described one by one."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """The content of a body: rows as a block, counts of the rejected events, and the sender."""

    accepted: int = 0
    row_bytes: bytes = b""
    """The rows to store, as one block; empty without rows."""

    tally: Tally | None = None
    """The rows added up, where the collector counts them for Prometheus."""

    batch_id: bytes | None = None
    sender: Sender | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    """Events by reason: `invalid`, `timestamp_ahead`, `timestamp_expired`."""

    details: list[Detail] = field(default_factory=list)
    """The first rejected events, MAX_DETAILS at most, by ascending index."""
    cut_strings: int = 0
    unknown_fields: int = 0
    ignored: int = 0
    """Spans that are no events: of another kind, without an HTTP method, or in the body twice."""

    @property
    def rejected_total(self) -> int:
        """Return the number of events that are not stored."""
        return sum(self.rejected.values())
