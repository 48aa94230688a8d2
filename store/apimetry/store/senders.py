"""What senders reported about themselves: the table `sender_reports`, by application, instance and minute.

`captured`, `sent` and `dropped` are cumulative for an instance (one process of a host application) and only grow, so
rows of one key merge by their maximum; `sent_before` is what had been sent before the minute's first report, and
`stored` the events of the minute's batches that the store took, which add up. A row is inserted once, under a token.
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
}
"""The columns of a row in the collector's order, and what a value of each is."""
