"""How far a reader is behind a smallest rate. Pure."""

from __future__ import annotations


class Pace:
    """Follows one reader; only the time that was spent waiting for it counts.

    A reader that is slower for a while falls behind, and catches up while it is faster; nothing is saved up.
    """

    def __init__(self, least_bytes_per_s: float, max_behind_s: float) -> None:
        self._least_bytes_per_s = least_bytes_per_s
        self._max_behind_s = max_behind_s
        self.behind_s = 0.0

    def patience_s(self, size: int) -> float:
        """Return for how long to wait until the reader has taken `size` bytes."""
        return max(0.0, self._max_behind_s - self.behind_s) + size / self._least_bytes_per_s

    def took(self, size: int, waited_s: float) -> None:
        """Note that the reader took `size` bytes, which was waited for."""
        self.behind_s = max(0.0, self.behind_s + waited_s - size / self._least_bytes_per_s)
