"""Faults for the real services, as processes, under load: kills, labelled points, a store that is away or lies.

`tests/integration/test_torture.py` runs a little of it in every run; `make torture` runs it for long.
"""

from __future__ import annotations

import random
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from apimetry.collector.failpoints import NAMES
from apimetry.store.client import Store
from apimetry.store.embedded.intent import read_intent
from tests.support.engine.power import cut_power
from tests.support.oracles.oracle import Load, Oracle
from tests.support.services.ports import free_port
from tests.support.services.processes import BOOTSTRAP, Service

STORE_FAULTS = (
    ("refuse", {}),
    ("hang", {}),
    ("reset_after_commit", {}),
    ("status", {"status": 500, "code": 252}),  # TOO_MANY_PARTS
    ("status", {"status": 500, "code": 164}),  # READONLY
    ("status", {"status": 503}),
    ("delay", {"seconds": 1.0}),
)


class Target:
    """One service that is killed and started again over the same data, on the same port."""

    def __init__(self, command, data_dir, **settings):
        self.data_dir = Path(data_dir)
        self.url = f"http://127.0.0.1:{free_port()}"
        self._command = command
        self._settings = {
            **BOOTSTRAP,
            "APIMETRY_COLLECTOR_PORT": self.url.rpartition(":")[2],
            "APIMETRY_LOG_LEVEL": "warning",
            **settings,
        }
        self._service = None
        self.done = Counter()

    def start(self, failpoint=""):
        """Start it and wait until it listens; armed it may die before."""
        self._service = Service([self._command], self.data_dir, {**self._settings, "APIMETRY_FAILPOINTS": failpoint})
        if not failpoint:
            assert self._service.collector_url

    def kill(self):
        self._service.process.kill()
        self._service.process.wait()
        self._service.close()
        self.done["kill"] += 1

    def wait_for_death(self, timeout_s):
        """Whether an armed process killed itself in time; the others are killed."""
        try:
            code = self._service.process.wait(timeout_s)
        except Exception:  # noqa: BLE001 - subprocess.TimeoutExpired: the point was not reached
            self.kill()
            return False
        output = self._service.output
        self._service.close()
        assert code == -9, output
        return True

    def stop(self, *, signals=1):
        """End it by SIGTERM; with a second one, at once."""
        process = self._service.process
        process.terminate()
        if signals > 1:
            time.sleep(0.05)
            process.terminate()
        code = process.wait(120)
        output = self._service.output
        self._service.close()
        # 143: the second one met the handler; -15: it came after the event loop had ended.
        assert code in ((0,) if signals == 1 else (0, 143, -15)), (code, output)
        self.done[f"SIGTERM x{signals}"] += 1

    def close(self):
        if self._service is not None:
            self._service.close()

    def metrics(self):
        """The collector's counters, labels added up."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        totals = Counter()
        for line in lines:
            if line.startswith(("apimetry_collector_", "process_")):
                name, _, value = line.rpartition(" ")
                totals[name.partition("{")[0].removeprefix("apimetry_collector_")] += float(value)
        return totals

    def wait_until_drained(self, timeout_s=300):
        """Wait until the spool is empty; the counters add up then."""
        deadline = time.monotonic() + timeout_s
        while (metrics := self.metrics())["spool_events"]:
            assert time.monotonic() < deadline, f"{metrics['spool_events']} events wait after {timeout_s} s"
            time.sleep(0.05)
        incoming = metrics["received_events_total"] + metrics["recovered_events_total"]
        outgoing = sum(
            metrics[name]
            for name in (
                "stored_events_total", "stored_elsewhere_events_total", "spool_events", "rejected_events_total",
                "quarantined_events_total",
            )
        )  # fmt: skip
        assert incoming == outgoing, metrics
        return metrics


class Torture:
    """A target under load; each method is one kind of fault. `settle` proves that nothing came of any."""

    def __init__(self, target, *, seed, server=None, name="t", pause_s=0.0, rows_per_batch=5):
        self.target = target
        self.server = server
        self.rng = random.Random(seed)
        self.oracle = Oracle(name, rows_per_batch)
        self.load = Load(self.oracle, lambda: target.url, pause_s=pause_s, seed=seed)
        self.points = Counter()
        self.faults = Counter()
        self.power = Counter()

    def begin(self):
        self.target.start()
        self.load.start()

    def kill_at_random(self):
        time.sleep(self.rng.uniform(0, 1.5))
        self.target.kill()
        self.target.start()

    def power_cut(self):
        """Die while the embedded store is inserting, and lose of it what was not synced."""
        store = self.target.data_dir / "store"
        deadline, after_s = time.monotonic() + 20, self.rng.uniform(0, 0.1)
        while time.monotonic() < deadline:
            if read_intent(store):
                time.sleep(after_s)
                if read_intent(store):
                    break
                after_s /= 2
            time.sleep(0.001)
        self.target.kill()
        self.power["inserts under way"] += bool(read_intent(store))
        lines, parts = cut_power(store, self.rng)
        self.power.update(lines=lines, parts=parts, cuts=1)
        self.target.start()

    def kill_at_a_point(self, name=None):
        """Die at a labelled point of the pipeline, at one of its first visits."""
        name = name or self.rng.choice(sorted(NAMES))
        self.target.kill()
        self.target.start(f"{name}:{self.rng.randint(1, 4)}")
        if self.target.wait_for_death(120):
            self.points[name] += 1
        self.target.start()

    def sigterm(self, signals=None):
        self.target.stop(signals=signals or self.rng.choice((1, 2)))
        self.target.start()

    def store_fault(self, kind=None):
        kind, options = next(
            ((fault, more) for fault, more in STORE_FAULTS if fault == kind), self.rng.choice(STORE_FAULTS)
        )
        self.server.fault(kind, count=self.rng.randint(1, 3), statement="INSERT INTO events", **options)
        time.sleep(self.rng.uniform(0.5, 2.0))
        if self.rng.random() < 0.5:
            self.target.kill()
            self.server.clear_faults()
            self.target.start()
        self.server.clear_faults()
        self.faults[kind] += 1

    def store_away(self):
        """Kill the ClickHouse server; the collector goes on, and is killed too in half of the cases."""
        self.server.kill()
        before = len(self.oracle.acknowledged)
        time.sleep(self.rng.uniform(0.5, 1.5))
        if self.rng.random() < 0.5:
            self.target.kill()
            self.target.start()
        deadline = time.monotonic() + 120
        while len(self.oracle.acknowledged) == before:
            assert time.monotonic() < deadline, "nothing is acknowledged while the store is away"
            time.sleep(0.01)
        self.server.restart()
        self.faults["store away"] += 1

    def settle(self):
        """Faults end: everything is acknowledged and drained, a fresh batch goes through, the service stops."""
        self.load.finish()
        fresh = Load(self.oracle, lambda: self.target.url, clients=1)
        fresh._number = self.load._number
        fresh.start()
        while len(self.oracle.acknowledged) == self.load._number:
            time.sleep(0.01)
        fresh.finish()
        metrics = self.target.wait_until_drained()
        self.target.stop()
        return metrics

    def check(self, url):
        """Compare the store with the oracle; the service must be stopped where the store is embedded."""
        with opened(url) as store:
            return self.oracle.check(store)


@contextmanager
def opened(url):
    store = Store(url)
    store.open()
    try:
        yield store
    finally:
        store.close()
