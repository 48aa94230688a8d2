"""The outcome of one batch, from which the response to its sender is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apimetry.serving.errors import Detail


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many events of a batch are on disk, how many were rejected, and details of the first rejected events."""

    accepted: int
    rejected: int
    details: Sequence[Detail] = ()
    is_duplicate: bool = False
    """Whether the batch was accepted before."""
