"""Let the engine merge the parts of rollups that nothing was merged into for a day.

The engine stops merging parts once they are few and large. Each part costs every statement about its weeks some 0.4
ms, and past weeks of rollups stay with three or four. Rollups are small, so one more merge costs little. The
parts of events are large, and few questions read those of many weeks: they stay.

The SQL is frozen: an applied migration is never changed.
"""

from __future__ import annotations

from typing import Final

from apimetry.store.layout import Layout

_TABLES: Final = (
    *("daily_consumers", "daily_routes", "daily_totals"),
    *("hourly_consumers", "hourly_origins", "hourly_routes", "hourly_totals", "minute_totals"),
)


def statements(layout: Layout) -> list[str]:
    """Return the statements that set the age from which on all parts of a partition become one."""
    return [layout.alter_stored(table, "MODIFY SETTING min_age_to_force_merge_seconds = 86400") for table in _TABLES]
