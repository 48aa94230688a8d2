"""Services and their tables, in processes of their own, stay below the bounds of docs/security.md when full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apimetry.collector.call_limit import IN_SPOOL_BYTES
from apimetry.collector.limits import BUCKET_BYTES, MAX_KEYS
from apimetry.collector.senders import MAX_SENDERS, SENDER_BYTES
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.collector.spool.id_set import HELD_BYTES
from apimetry.collector.spool.quarantine import MAX_PIECES, NAME_BYTES
from apimetry.query_api.engine import QUESTION_BYTES
from apimetry.query_api.events.news import KNOWN_BYTES
from apimetry.query_api.events.stream import MAX_PART_BYTES, MAX_WAITING_BYTES
from apimetry.query_api.kept_answers import MAX_KEPT_BYTES
from apimetry.query_api.queueing.fair_queue import MAX_IDLE, SHARE_BYTES
from apimetry.query_api.settings import LiveLimits, QuerySettings
from apimetry.query_api.timeseries.reading import POINT_BYTES
from apimetry.serving.connections import CONNECTION_BYTES, HTTP_CACHE_BYTES, MAX_UNSENT_BYTES
from apimetry.store.accounts.records import (
    APPLICATION_BYTES,
    KEY_BYTES,
    MAX_APPLICATIONS,
    MAX_ROTATED_KEYS,
    MAX_WORKING_KEYS,
)
from apimetry.store.alerts.alerts import RULES_BYTES
from tests.integration.bounded_memory import CONNECTIONS

SERVICES = Path(__file__).with_name("bounded_memory.py")
TABLES = Path(__file__).with_name("bounded_tables.py")
ROOT = Path(__file__).parents[2]
OF_BOTH = {
    "accounts": MAX_APPLICATIONS * APPLICATION_BYTES + (MAX_WORKING_KEYS + MAX_ROTATED_KEYS) * KEY_BYTES,
    "connections": CONNECTIONS * CONNECTION_BYTES,
    "http caches": HTTP_CACHE_BYTES,
}
OF_COLLECTOR = {
    "senders": MAX_SENDERS * SENDER_BYTES,
    "rates": MAX_KEYS * BUCKET_BYTES,
    # A quarter more than the window, in the moment before the oldest quarter goes.
    "batch ids": 1_250_000 * HELD_BYTES,
    "quarantine": MAX_PIECES * NAME_BYTES,
    "calls": MAX_APPLICATIONS * IN_SPOOL_BYTES,
    "batches that wait for the disk": CollectorSettings(spool=SpoolSettings(directory=ROOT)).max_held_bytes
    + CONNECTIONS * CONNECTION_BYTES,
}
OF_QUERY_SERVICE = {
    "waiting questions": CONNECTIONS * CONNECTION_BYTES + QuerySettings().max_waiting_queries * QUESTION_BYTES,
    "responses that nobody takes": 2 * CONNECTIONS * CONNECTION_BYTES + MAX_UNSENT_BYTES,
}
LIVE = LiveLimits()
OF_TABLES = {
    "kept answers": 2 * MAX_KEPT_BYTES,
    "remembered questions": QuerySettings().remembered_bytes,
    "figures": MAX_APPLICATIONS * 1_000,
    "time zones": 2_000_000,
    "askers": MAX_IDLE * SHARE_BYTES,
    "abandoned statements": 1_000_000,
    "alert rules": RULES_BYTES,
    "messages of alerts": 50_000_000,
    # What the poll reads is wider in Python than in the store.
    "feeds of live streams": LIVE.kept_bytes + LIVE.streams * 3 * LIVE.rows * KNOWN_BYTES + 4 * LIVE.result_bytes,
    "live streams": LIVE.streams * (MAX_WAITING_BYTES + 2 * MAX_PART_BYTES),
    "points of a question": 4 * QuerySettings().max_query_result_bytes + QuerySettings().max_points * POINT_BYTES,
}


pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory where Linux tells it"),
    pytest.mark.timeout(600),
]


def grown(script, *arguments):
    """How far the resident memory of a process grew, by what was filled."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_within(sizes, bounds):
    assert sizes.keys() == bounds.keys()
    over = {part: (size, bounds[part]) for part, size in sizes.items() if size > bounds[part]}
    assert not over


@pytest.mark.parametrize(
    ("service", "bounds"), [("collector", OF_BOTH | OF_COLLECTOR), ("query", OF_BOTH | OF_QUERY_SERVICE)]
)
def test_resident_memory_stays_below_the_stated_bounds_with_every_table_full(service, bounds, tmp_path):
    assert_within(grown(SERVICES, service, str(tmp_path)), bounds)


def test_tables_of_the_query_service_stay_below_the_stated_bounds_when_full():
    assert_within(grown(TABLES), OF_TABLES)
