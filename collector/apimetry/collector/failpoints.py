"""Named places in the pipeline where a test can kill the process. Without a test, a place costs one comparison.

`APIMETRY_FAILPOINTS="after_fsync:3"` kills the process (SIGKILL) at its third visit of `after_fsync`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

SHARING = frozenset({"after_hold", "before_plan", "after_plan"})
"""Between seal and insert, where other collectors can use the store: a server's."""
NAMES = SHARING | frozenset(
    {
        "before_append", "after_append", "before_fsync", "after_fsync", "before_seal", "after_seal",
        "before_insert", "after_insert", "before_reports", "after_reports", "before_remember", "after_remember",
        "before_unlink", "after_unlink",
    }
)  # fmt: skip
"""In the order of the pipeline."""


class Failpoints:
    """Counts visits. `armed` is the value of the environment variable, or None for no kill."""

    def __init__(self, armed: str | None = None) -> None:
        self._name, _, nth = (armed or "").partition(":")
        self._nth = int(nth or 1)
        self._visits: Counter[str] = Counter()
        if self._name and self._name not in NAMES:
            raise ValueError(f"APIMETRY_FAILPOINTS names {self._name!r}; known are {', '.join(sorted(NAMES))}")

    def hit(self, name: str) -> None:
        """Kill the process if this visit of `name` is the armed one."""
        if name != self._name:
            return
        self._visits[name] += 1
        if self._visits[name] == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)
