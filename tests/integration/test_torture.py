"""A little of the torture in every run; `make torture` runs it for long."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.support.oracles.torture import Target, Torture

# What hurts a service waits for much: a busy machine has its time.
pytestmark = pytest.mark.timeout(900)
SEED = int(os.environ.get("APIMETRY_TEST_SEED", "20261122"))


@contextmanager
def tortured(command, data_dir, *, server=None, pause_s=0.005, **settings):
    target = Target(command, data_dir, **settings)
    try:
        yield Torture(target, seed=SEED, server=server, pause_s=pause_s)
    finally:
        target.close()


def test_serve_on_the_embedded_store_survives_kills_and_power_cuts_anywhere(tmp_path):
    with tortured("serve", tmp_path) as torture:
        torture.begin()
        torture.kill_at_random()
        for point in ("after_fsync", "before_insert", "after_insert", "before_unlink"):
            torture.kill_at_a_point(point)
        while not torture.power["inserts under way"]:  # one may end in the moment of the kill
            torture.power_cut()
        torture.sigterm(signals=2)
        torture.sigterm(signals=1)
        torture.settle()
        assert torture.check(f"chdb://{tmp_path}/store")
    # Not vacuous: every point was reached, and clients were cut off and came again.
    assert torture.points.total() == 4
    assert torture.load.counts["cut"]
    assert torture.load.counts["repeated"]


def test_collector_over_a_server_that_lies_and_dies_stores_everything_once(
    clickhouse_server, clickhouse_url, tmp_path
):
    with tortured("collector", tmp_path, server=clickhouse_server, APIMETRY_STORE=clickhouse_url) as torture:
        before = clickhouse_server.seen()
        torture.begin()
        for kind in ("reset_after_commit", "hang", "status"):
            torture.store_fault(kind)
        hits = clickhouse_server.seen() - before
        torture.kill_at_a_point("after_insert")
        torture.store_away()
        torture.kill_at_random()
        torture.settle()
        assert torture.check(clickhouse_url)
    assert torture.points["after_insert"]
    assert hits["fault reset_after_commit"]


@contextmanager
def small_disk(directory, size):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def test_full_disk_refuses_keeps_what_was_acknowledged_and_resumes(clickhouse_server, clickhouse_url, tmp_path):
    """The spool's disk is a real file system of 6 MiB, filled by the spool itself and by a stranger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with (
        small_disk(disk, "6m"),
        tortured("collector", disk, server=clickhouse_server, pause_s=0.0, APIMETRY_STORE=clickhouse_url) as torture,
    ):
        torture.begin()
        clickhouse_server.fault("refuse", count=10**6, statement="INSERT INTO events")
        wait_until(lambda: torture.load.counts["refused"], "a refusal for the full disk")
        torture.target.kill()  # recovery meets a disk without room
        torture.target.start()
        refused = torture.load.counts["refused"]
        wait_until(lambda: torture.load.counts["refused"] > refused, "another refusal after the restart")
        acknowledged = len(torture.oracle.acknowledged)
        clickhouse_server.clear_faults()
        wait_until(lambda: len(torture.oracle.acknowledged) > acknowledged + 100, "room made by the writer")
        torture.settle()
        assert torture.check(clickhouse_url)


def wait_until(condition, what):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
