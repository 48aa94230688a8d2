"""Both services, each in a process of its own, stay below the bounds of docs/security.md with every table full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from apimetry.collector.limits import BUCKET_BYTES, MAX_KEYS
from apimetry.collector.senders import MAX_SENDERS, SENDER_BYTES
from apimetry.collector.spool.id_set import HELD_BYTES
from apimetry.collector.spool.quarantine import MAX_PIECES, NAME_BYTES
from apimetry.query_api.engine import QUESTION_BYTES
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.connections import CONNECTION_BYTES, HTTP_CACHE_BYTES, MAX_UNSENT_BYTES
from apimetry.store.accounts.records import (
    APPLICATION_BYTES,
    KEY_BYTES,
    MAX_APPLICATIONS,
    MAX_ROTATED_KEYS,
    MAX_WORKING_KEYS,
)
from tests.integration.bounded_memory import CONNECTIONS

SCRIPT = Path(__file__).with_name("bounded_memory.py")
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
}
OF_QUERY_SERVICE = {
    "waiting questions": CONNECTIONS * CONNECTION_BYTES + QuerySettings().max_waiting_queries * QUESTION_BYTES,
    "responses that nobody takes": 2 * CONNECTIONS * CONNECTION_BYTES + MAX_UNSENT_BYTES,
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory where Linux tells it")
@pytest.mark.parametrize(
    ("service", "bounds"), [("collector", OF_BOTH | OF_COLLECTOR), ("query", OF_BOTH | OF_QUERY_SERVICE)]
)
def test_resident_memory_stays_below_the_stated_bounds_with_every_table_full(service, bounds, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), service, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    assert grown.keys() == bounds.keys()
    for part, size in bounds.items():
        assert grown[part] <= size, part
