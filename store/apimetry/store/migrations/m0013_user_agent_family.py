"""Add the name of the software behind an event's user agent, as the collector finds it.

Events that were stored before have an empty name: no SQL knows the rules.
"""

from __future__ import annotations

from apimetry.store.layout import Layout


def statements(layout: Layout) -> list[str]:
    """Return the statements that add the column."""
    return layout.alter("events", "ADD COLUMN IF NOT EXISTS user_agent_family LowCardinality(String)")
