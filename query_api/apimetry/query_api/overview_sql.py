"""Figures of a whole organization as SQL. Pure; values are bound by the server.

`counters` has what was ever sent, which neither retention nor deletion lowers, also of applications that were deleted
since; `events` has what is stored now.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from apimetry.query_api.usage_sql import Statement

# Every version of an application's record has the same organization: no FINAL. Deleted ones are among them.
_EVER_SENT = """SELECT sumIf(requests, month = {month:Date}),
  uniqExactIf((application, source), has({applications:Array(String)}, application)),
  toUnixTimestamp64Micro(maxOrNull(last_seen))
FROM counters
WHERE application IN (SELECT id FROM applications WHERE organization_id = {organization:String})"""
_STORED = """SELECT count(),
  sumIf(sample_weight, has({applications:Array(String)}, application)),
  sumIf(sample_weight, has({applications:Array(String)}, application)
    AND timestamp >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
FROM events
WHERE application IN (SELECT id FROM applications WHERE organization_id = {organization:String})"""
_DISK = """SELECT sum(bytes_on_disk), (SELECT count() FROM events)
FROM {parts} WHERE active AND database = {{database:String}}"""
_SENT_BY_APPLICATION = """SELECT application, uniqExact(source), toUnixTimestamp64Micro(max(last_seen))
FROM counters WHERE application IN {applications:Array(String)} GROUP BY application"""
_STORED_BY_APPLICATION = """SELECT application, sum(sample_weight)
FROM events WHERE application IN {applications:Array(String)} GROUP BY application"""


def ever_sent(organization: str, applications: Sequence[str], month: date) -> Statement:
    """Return what answers one row: requests in `month`, sources of `applications`, the last event's µs or None."""
    return Statement(_EVER_SENT, {"organization": organization, "applications": list(applications), "month": month})


def stored(organization: str, applications: Sequence[str], since: int, until: int) -> Statement:
    """Return what answers one row: stored rows, requests of `applications`, and those in `[since, until)` seconds."""
    return Statement(
        _STORED,
        {
            "organization": organization,
            "applications": list(applications),
            "since_us": since * 1_000_000,
            "until_us": until * 1_000_000,
        },
    )


def disk(database: str, cluster: str | None) -> Statement:
    """Return what answers one row: bytes of the database's parts (one replica of each shard), all stored rows."""
    parts = f"cluster('{cluster}', system.parts)" if cluster else "system.parts"
    return Statement(_DISK.format(parts=parts), {"database": database})


def sent_by_application(applications: Sequence[str]) -> Statement:
    """Return what answers rows of (application, data sources ever seen, the last event's µs)."""
    return Statement(_SENT_BY_APPLICATION, {"applications": list(applications)})


def stored_by_application(applications: Sequence[str]) -> Statement:
    """Return what answers rows of (application, requests stored now)."""
    return Statement(_STORED_BY_APPLICATION, {"applications": list(applications)})
