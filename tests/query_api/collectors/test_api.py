"""`GET /api/collectors`: the last report of every collector, over a real engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from apimetry.store.collectors import (
    SILENT_AFTER_S,
    CollectorFigures,
    CollectorIdentity,
    QuarantineFigures,
    record_report,
)
from tests.support.services.query_service import assert_error

PATH = "/api/collectors"
IDENTITY = CollectorIdentity("web-1-3f9a2c", "0.1.0", datetime(2026, 3, 2, 12, tzinfo=timezone.utc))
FIGURES = CollectorFigures(
    spool_bytes=1000,
    spool_limit_bytes=4 * 2**30,
    segments=2,
    oldest_segment_s=0.4,
    received=2**40,
    stored=7,
    rejected={"timestamp_expired": 3, "invalid": 1},
    quarantined=5,
    rejected_at={"timestamp_expired": 1772452800},
    quarantine=QuarantineFigures(2, 5, "the store rejected it: code 117"),
    spool_free_bytes=2**42,
)
OF_AN_EARLIER_VERSION = """INSERT INTO collector_reports (collector, at, started_at, version, spool_bytes,
  spool_limit_bytes, segments, oldest_segment_s, has_room, received, stored, rejected, quarantined)
SELECT 'old', now64(3), now64(3), '0.0.9', 1, 2, 3, 4, 1, 5, 6, map('invalid', 7), 8"""


async def test_the_last_report_of_every_collector_is_shown_by_name(service):
    store = service.accounts.store
    assert await service.answer(PATH, "admin") == {"collectors": []}
    record_report(store, replace(IDENTITY, name="zoo"), CollectorFigures())
    record_report(store, IDENTITY, CollectorFigures(received=1))
    record_report(store, IDENTITY, FIGURES)
    for key in ("admin", "their admin"):
        first, second = (await service.answer(PATH, key))["collectors"]
        assert first.pop("lastReport").endswith("Z")
        assert first == {
            "id": "web-1-3f9a2c",
            "version": "0.1.0",
            "spoolBytes": 1000,
            "spoolLimitBytes": 4 * 2**30,
            "spoolFreeBytes": 2**42,
            "segments": 2,
            "oldestSegmentS": 0.4,
            "received": 2**40,
            "stored": 7,
            "rejected": {"timestamp_expired": 3, "invalid": 1},
            "rejectedAt": {"timestamp_expired": "2026-03-02T12:00:00Z"},
            "quarantined": 5,
            "quarantine": {"pieces": 2, "rows": 5, "newestReason": "the store rejected it: code 117"},
            "state": "ok",
        }
        assert (second["id"], second["rejected"]) == ("zoo", {})


@pytest.mark.parametrize(
    ("figures", "age_s", "state"),
    [
        (FIGURES, 0, "ok"),
        (FIGURES, SILENT_AFTER_S - 30, "ok"),
        (replace(FIGURES, oldest_segment_s=60.0), 0, "ok"),
        (replace(FIGURES, oldest_segment_s=60.1), 0, "behind"),
        (replace(FIGURES, oldest_segment_s=60.1, has_room=False), 0, "full"),
        (replace(FIGURES, has_room=False), SILENT_AFTER_S + 1, "silent"),
    ],
)
async def test_a_collector_is_ok_behind_full_or_silent(embedded_service, figures, age_s, state):
    store = embedded_service.accounts.store
    record_report(store, IDENTITY, figures)
    # The report as it would be had it come earlier.
    store.command(
        "INSERT INTO collector_reports SELECT * REPLACE ('aged' AS collector, at - {age_s:Int64} AS at)"
        " FROM collector_reports",
        {"age_s": age_s},
    )
    aged, _ = (await embedded_service.answer(PATH, "admin"))["collectors"]
    assert (aged["id"], aged["state"]) == ("aged", state)


async def test_what_a_collector_of_an_earlier_version_does_not_report_is_null(service):
    service.accounts.store.command(OF_AN_EARLIER_VERSION)
    (collector,) = (await service.answer(PATH, "admin"))["collectors"]
    assert (collector["rejected"], collector["quarantined"], collector["state"]) == ({"invalid": 7}, 8, "ok")
    assert collector["rejectedAt"] == {}
    assert collector["quarantine"] is collector["spoolFreeBytes"] is None


async def test_parameters_are_refused(embedded_service):
    await assert_error(await embedded_service.get(f"{PATH}?limit=1", "admin"), 400, "'limit'")
