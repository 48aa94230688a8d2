"""Collectors behind a balancer: each batch counts once, whichever of them is killed."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.oracles.oracle import Load, Oracle
from tests.support.oracles.torture import Target, opened
from tests.support.services.ports import free_port
from tests.support.tools import program

HAPROXY, with_haproxy = program("haproxy", "apt-get install haproxy")
EXAMPLE = Path(__file__).parents[2] / "deploy" / "proxy" / "haproxy.cfg"
# What docs/cluster.md leaves out of the example: then a batch never leaves its collector.
MOVES = ("    option httpchk GET /ready\n", "    option redispatch\n", " check\n")


@contextmanager
def balanced(folder, collectors):
    """Run haproxy over two collectors, and give its address."""
    text, port = EXAMPLE.read_text(), free_port()
    for move in MOVES:
        assert move in text
        text = text.replace(move, "\n" if move.startswith(" check") else "")
    addresses = [collector.url.removeprefix("http://") for collector in collectors]
    for example, address in zip(("127.0.0.1:7998", "127.0.0.1:7999"), addresses, strict=True):
        text = text.replace(example, address)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
    process = subprocess.Popen(
        [HAPROXY, "-db", "-f", str(configuration)], env={"PATH": os.environ["PATH"]}, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@with_haproxy
@pytest.mark.timeout(900)
def test_batches_of_collectors_that_are_killed_count_once(clickhouse_url, tmp_path):
    collectors = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        collectors.append(Target("collector", tmp_path / name, APIMETRY_STORE=clickhouse_url))
    oracle = Oracle("two", 5)
    try:
        with balanced(tmp_path, collectors) as url:
            for collector in collectors:
                collector.start()
            load = Load(oracle, lambda: url, pause_s=0.002, seed=7)
            load.start()
            # Each dies with batches that it took and whose answers were never sent.
            deaths = 0
            for collector, point in ((collectors[0], "after_fsync"), (collectors[1], "before_insert")):
                collector.kill()
                collector.start(f"{point}:2")
                deaths += collector.wait_for_death(120)
                collector.start()
            wait_for_more(oracle)
            # A rolling restart.
            for collector in collectors:
                collector.stop()
                collector.start()
            wait_for_more(oracle)
            load.finish()
            for collector in collectors:
                collector.wait_until_drained()
                collector.stop()
        with opened(clickhouse_url) as store:
            assert oracle.check(store)
    finally:
        for collector in collectors:
            collector.close()
    assert deaths
    assert load.counts["refused"] + load.counts["cut"]
    assert load.counts["repeated"]


def wait_for_more(oracle, batches=50):
    deadline, acknowledged = time.monotonic() + 300, len(oracle.acknowledged)
    while len(oracle.acknowledged) < acknowledged + batches:
        assert time.monotonic() < deadline, "batches are not acknowledged"
        time.sleep(0.01)
