"""Define the table `sender_reports`: the senders' own counts by application, instance and minute.

An instance is one process of a host application. Its `captured`, `sent` and `dropped` are cumulative and only grow,
so rows of one key merge by their maximum. `sent_before` is the value of `sent` before the minute's first report.
`stored` counts the stored events of the minute's batches, and rows of one key add it up. A row is inserted once,
under a token. `source` and `version` are the same in all rows of an instance; rows of an earlier version have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENDER_REPORTS: Final = "sender_reports"
SENDER_COLUMNS: Final[Mapping[str, str]] = {
    "application": "LowCardinality(String)",
    "minute": "DateTime('UTC')",
    "instance": "String",
    "captured": "UInt64",
    "sent_before": "UInt64",
    "sent": "UInt64",
    "dropped": "Map(String, UInt64)",
    "stored": "UInt64",
    "source": "LowCardinality(String)",
    "version": "LowCardinality(String)",
}
"""The columns of a row and their types, in the collector's order."""
