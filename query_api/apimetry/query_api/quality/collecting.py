"""Whether collectors report, without their names: they belong to no organization."""

from __future__ import annotations

from apimetry.query_api.http.json_values import iso_time
from apimetry.query_api.quality.response import QualityCollectors
from apimetry.store.collectors import collector_reports
from apimetry.store.statement import Ask


def collecting(*, ask: Ask) -> QualityCollectors:
    """Return how many collectors there are, how many of them are silent, and how old what waits is."""
    reports = collector_reports(ask=ask)
    heard = [report for report in reports if not report.is_silent]
    newest = max((report.at for report in reports), default=None)
    return {
        "known": len(reports),
        "silent": len(reports) - len(heard),
        "lastReport": None if newest is None else iso_time(int(newest.timestamp())),
        "oldestSegmentS": max((report.figures.oldest_segment_s for report in heard), default=None),
    }
