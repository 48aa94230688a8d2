"""Time buckets of equal length, and the named lengths. Pure; all times are UTC."""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 86_400
NAMED_GRANULARITIES = {"second": 1, "minute": 60, "hour": 3600, "day": DAY_S, "week": 7 * DAY_S}
# Weeks start on Monday. The epoch was a Thursday, three days after a Monday.
_MONDAY_S = -3 * DAY_S


@dataclass(frozen=True)
class Granularity:
    """Buckets of `seconds`, one of which starts at `origin_s`."""

    seconds: int
    origin_s: int = 0

    def floor(self, time_s: int) -> int:
        """Return the start of the bucket that holds `time_s`."""
        return (time_s - self.origin_s) // self.seconds * self.seconds + self.origin_s

    def moved(self, shift_s: int) -> Granularity:
        """Return the same buckets, `shift_s` seconds earlier than they are."""
        # The origin must be before all events: the engine's division rounds towards it.
        return Granularity(self.seconds, -((shift_s - self.origin_s) % self.seconds))

    def starts(self, start_s: int, end_s: int) -> range:
        """Return the starts of all buckets that overlap `[start_s, end_s)`."""
        return range(self.floor(start_s), end_s, self.seconds)


def named_granularity(name: str) -> Granularity:
    """Return one of NAMED_GRANULARITIES."""
    return Granularity(NAMED_GRANULARITIES[name], _MONDAY_S if name == "week" else 0)
