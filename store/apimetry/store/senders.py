"""What senders reported about themselves: the table `sender_reports`, by application, instance and minute.

`captured`, `sent` and `dropped` are cumulative for an instance (one process of a host application) and only grow, so
rows of one key merge by their maximum; `sent_before` is what had been sent before the minute's first report, and
`stored` the events of the minute's batches that the store took, which add up. A row is inserted once, under a token.
"""

from __future__ import annotations

from typing import Final

SENDER_REPORTS: Final = "sender_reports"
SENDER_COLUMNS: Final[tuple[str, ...]] = (
    "application",
    "minute",
    "instance",
    "captured",
    "sent_before",
    "sent",
    "dropped",
    "stored",
)
