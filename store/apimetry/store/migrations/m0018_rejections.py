"""Add when a collector last rejected an event, what its quarantine holds, and the room on its spool's disk.

The report of a collector of an earlier version has no times, and null for the rest.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_COLUMNS = (
    "rejected_at Map(String, UInt64)",
    "quarantine_pieces Nullable(UInt64)",
    "quarantine_rows Nullable(UInt64)",
    "quarantine_reason String",
    "spool_free_bytes Nullable(UInt64)",
)


def statements(layout: Layout) -> list[str]:
    """Return the statements that add the columns."""
    return [
        f"ALTER TABLE {layout.database}.collector_reports{layout.on_cluster} ADD COLUMN IF NOT EXISTS {column}"
        for column in _COLUMNS
    ]
