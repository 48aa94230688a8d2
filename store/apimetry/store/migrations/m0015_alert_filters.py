"""Add the texts that a rule's events contain, and the bounds of their response times; null means no bound."""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = ("has Array(String)", "min_response_us Nullable(UInt64)", "max_response_us Nullable(UInt64)")


def statements(layout: Layout) -> list[str]:
    """Return the statements that add the columns."""
    return [
        f"ALTER TABLE {layout.database}.alert_rules{layout.on_cluster} ADD COLUMN IF NOT EXISTS {column}"
        for column in _COLUMNS
    ]
