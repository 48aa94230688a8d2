"""Add a rule's channel and routing key; an empty channel means that the rule's address determines the channel."""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = ("channel LowCardinality(String)", "routing_key String")


def statements(layout: Layout) -> list[str]:
    """Return the statements that add the columns."""
    return [
        f"ALTER TABLE {layout.database}.alert_rules{layout.on_cluster} ADD COLUMN IF NOT EXISTS {column}"
        for column in _COLUMNS
    ]
