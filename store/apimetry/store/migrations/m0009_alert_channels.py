"""The form of a rule's messages; an empty one is told by the rule's address."""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = ("channel LowCardinality(String)", "routing_key String")


def statements(layout: Layout) -> list[str]:
    """The columns."""
    return [
        f"ALTER TABLE {layout.database}.alert_rules{layout.on_cluster} ADD COLUMN IF NOT EXISTS {column}"
        for column in _COLUMNS
    ]
