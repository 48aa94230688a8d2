"""What became of one batch, for whoever answers its sender."""

from collections.abc import Sequence
from dataclasses import dataclass

from apimetry.collector.formats.lenient import Detail


@dataclass(frozen=True, slots=True)
class Outcome:
    """Events of a batch: `accepted` ones are on disk; `details` are of the first `rejected` ones."""

    accepted: int
    rejected: int
    details: Sequence[Detail] = ()
    is_duplicate: bool = False
    """Whether the batch was accepted before."""
