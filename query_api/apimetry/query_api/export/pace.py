"""Measure how far a reader is behind a smallest rate. Pure."""

from __future__ import annotations


class Pace:
    """The pace of one reader. Only the time spent waiting for the reader counts.

    A reader falls behind while it is slower than the rate, and catches up while it is faster. It cannot get ahead.
    """

    def __init__(self, least_bytes_per_s: float, max_behind_s: float) -> None:
        self._least_bytes_per_s = least_bytes_per_s
        self._max_behind_s = max_behind_s
        self.behind_s = 0.0

    def patience_s(self, size: int) -> float:
        """Return the seconds that the reader may need for the next `size` bytes."""
        return max(0.0, self._max_behind_s - self.behind_s) + size / self._least_bytes_per_s

    def record(self, size: int, waited_s: float) -> None:
        """Record that the reader needed `waited_s` seconds for `size` bytes."""
        self.behind_s = max(0.0, self.behind_s + waited_s - size / self._least_bytes_per_s)
