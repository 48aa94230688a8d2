"""Several collectors behind a balancer, under load: batches come again to collectors that do not know them.

`tests/integration/test_collectors.py` runs a little of it in every run; `make torture` runs it for long.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from apimetry.collector.failpoints import NAMES
from apimetry.middleware.recorder import Recorder
from tests.middleware.recording import event
from tests.support.oracles.oracle import Load, Oracle
from tests.support.oracles.torture import Target, opened
from tests.support.services.keys import WRITE_KEY
from tests.support.services.ports import free_port
from tests.support.tools import program

EXAMPLES = Path(__file__).parents[3] / "deploy" / "proxy"
HAPROXY, with_haproxy = program("haproxy", "apt-get install haproxy")
NGINX, with_nginx = program("nginx", "apt-get install nginx-light")


class Balancer:
    """haproxy or nginx with the example of deploy/proxy, over any number of collectors.

    `is_keyed` says whether a batch goes by its id, as in the example, or to the next collector in turn.
    """

    def __init__(self, kind, folder, collectors, *, is_keyed=True):
        folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        addresses = [collector.url.removeprefix("http://") for collector in collectors]
        self._command = {"haproxy": self._haproxy, "nginx": self._nginx}[kind](folder, addresses, is_keyed)
        self._log = folder / "log"
        self._process = None

    def start(self):
        with self._log.open("a") as log:
            environment = {"PATH": os.environ["PATH"]}
            self._process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)

    def kill(self):
        """End it with what it has under way: collectors took batches whose answers nobody gets."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _haproxy(self, folder, addresses, is_keyed):
        text = (EXAMPLES / "haproxy.cfg").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        text = _changed(text, r"    server .*\n", [f"    server c{n} {a} check\n" for n, a in enumerate(addresses)])
        if not is_keyed:
            text = _changed(text, r"    (balance|hash-type) .*\n", ["    balance roundrobin\n"])
        path = folder / "haproxy.cfg"
        path.write_text(text)
        return [HAPROXY, "-db", "-f", str(path)]

    def _nginx(self, folder, addresses, is_keyed):
        text = (EXAMPLES / "nginx.conf").read_text()
        text = re.sub(r" +ssl_certificate.*\n", "", text)
        # Requests go to the address of the collectors' site alone.
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{free_port()}", 1)
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port}", 1)
        text = _changed(
            text, r"    server 127.0.0.1:799[89];\n", [f"    server {address};\n" for address in addresses]
        )
        if not is_keyed:
            text = _changed(text, r"    hash .*\n", [])
        site = folder / "site.conf"
        site.write_text(text)
        temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{name}_temp_path {folder}/{name};" for name in temporary)
        path = folder / "nginx.conf"
        path.write_text(
            f"pid {folder}/pid; error_log stderr; daemon off; master_process off; events {{}}"
            f"http {{ access_log off; {paths} include {site}; }}"
        )
        return [NGINX, "-c", str(path)]


def _changed(text, pattern, lines):
    """The text with new lines in place of the first line that matches, and without the others."""
    changed, count = re.subn(pattern, "\0", text)
    assert count, pattern
    return changed.replace("\0", "".join(lines), 1).replace("\0", "")


class Host(threading.Thread):
    """An application with the middleware and a `buffer_dir`, that records until told to stop."""

    def __init__(self, url, folder):
        super().__init__(name="host", daemon=True)
        self.recorder = Recorder({"collector_url": url, "write_key": WRITE_KEY, "buffer_dir": folder}, {})
        self.recorded = 0
        self._stopping = threading.Event()

    def run(self):
        while not self._stopping.wait(0.002):
            self.recorder.record((time.perf_counter_ns(), *event(f"/host/{self.recorded}")[1:]))
            self.recorded += 1

    def finish(self, timeout_s=300):
        """Stop, and return once the collectors have everything."""
        self._stopping.set()
        self.join()
        deadline = time.monotonic() + timeout_s
        while not self.recorder.flush(1):
            assert time.monotonic() < deadline, self.recorder.counters()
        assert self.recorder.counters() == {"captured": self.recorded, "sent": self.recorded, "dropped": {}}
        self.recorder = None  # its exporter ends with it


class Fleet:
    """Collectors over one store, a balancer, senders, and the ways to hurt them."""

    def __init__(self, kind, folder, store_url, *, collectors, seed, is_keyed=True, give_up=0.0, server=None):
        self.rng = random.Random(seed)
        self.server = server
        self.store_url = store_url
        self.collectors = []
        for number in range(collectors):
            (folder / f"collector-{number}").mkdir(parents=True)
            self.collectors.append(Target("collector", folder / f"collector-{number}", APIMETRY_STORE=store_url))
        self.balancer = Balancer(kind, folder / "balancer", self.collectors, is_keyed=is_keyed)
        self.oracle = Oracle("fleet", 5)
        self.load = Load(self.oracle, lambda: self.balancer.url, clients=8, pause_s=0.002, seed=seed, give_up=give_up)
        self.host = Host(self.balancer.url, folder / "buffer")
        self.faults = Counter()

    def begin(self, point=""):
        """Start everything; the first collector dies at the labelled point."""
        points = [point, *[""] * (len(self.collectors) - 1)]
        starting = [
            threading.Thread(target=collector.start, args=(armed,))
            for collector, armed in zip(self.collectors, points, strict=True)
        ]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        self.balancer.start()
        self.load.start()
        self.host.start()

    def close(self):
        self.balancer.kill()
        for collector in self.collectors:
            collector.close()

    def kill_at_random(self):
        """Kill some at once, and start them again one after the other."""
        time.sleep(self.rng.uniform(0, 1.0))
        killed = self.rng.sample(self.collectors, self.rng.randint(1, len(self.collectors)))
        for collector in killed:
            collector.kill()
        time.sleep(self.rng.uniform(0, 2.0))
        for collector in killed:
            collector.start()
        self.faults["kill"] += len(killed)

    def kill_at_a_point(self, point=None, collector=None):
        """Die at a labelled point, and come back when others have taken what was under way."""
        collector = collector or self.rng.choice(self.collectors)
        point = point or self.rng.choice(sorted(NAMES))
        collector.kill()
        collector.start(f"{point}:{self.rng.randint(1, 4)}")
        if collector.wait_for_death(120):
            self.faults[point] += 1
        time.sleep(self.rng.uniform(0, 1.0))
        collector.start()

    def return_late(self, collector):
        """Start a dead collector when all batches that were under way in its death have been taken by others."""
        under_way = set(self.oracle.bodies)
        deadline = time.monotonic() + 300
        while not under_way <= self.oracle.acknowledged:
            assert time.monotonic() < deadline, "batches are not acknowledged while a collector is away"
            time.sleep(0.01)
        collector.start()

    def restart_one_after_the_other(self):
        for collector in self.collectors:
            collector.stop()
            collector.start()
        self.faults["rolling restart"] += 1

    def kill_the_balancer(self):
        """Lose answers while every collector lives."""
        self.balancer.kill()
        time.sleep(self.rng.uniform(0, 0.3))
        self.balancer.start()
        self.faults["balancer"] += 1

    def store_away(self):
        """Kill the ClickHouse server, and most of the collectors while it is gone."""
        self.server.kill()
        time.sleep(self.rng.uniform(0.2, 1.0))
        killed = self.collectors[1:]
        for collector in killed:
            collector.kill()
        for collector in killed:
            collector.start()
        self.server.restart()
        self.faults["store away"] += 1

    def wait_for_more(self, batches=50):
        deadline, acknowledged = time.monotonic() + 300, len(self.oracle.acknowledged)
        while len(self.oracle.acknowledged) < acknowledged + batches:
            assert time.monotonic() < deadline, "batches are not acknowledged"
            time.sleep(0.01)

    def settle(self):
        """Faults end: everything is acknowledged and drained, and the collectors stop."""
        self.load.finish()
        self.host.finish()
        elsewhere = 0
        for collector in self.collectors:
            elsewhere += collector.wait_until_drained()["stored_elsewhere_events_total"]
            collector.stop()
        return elsewhere

    def check(self):
        """Compare the store with what was sent; return the events, and the batches that two collectors held."""
        with opened(self.store_url) as store:
            events = self.oracle.check(store)
            recorded = store.query("SELECT count(), uniqExact(url) FROM events WHERE startsWith(url, '/host/')", {})
            assert recorded == [(self.host.recorded, self.host.recorded)]
            ((shared,),) = store.query("SELECT uniqExact(key) FROM batch_owners")
        return events + self.host.recorded, shared
