"""The long torture: real services under load, hurt at random until the time is over, then held against the oracle.

    python -m tests.torture [--seconds 600] [--seed N] [--only embedded|server] [--soak SECONDS]

Prints its seed; the same seed makes the same choices, at whatever moments the machine gives them. Ends with 1 and the
counts where an acknowledged event is missing, double, unknown or changed, or a rollup does not add up.
`--soak` adds a run of paced load with a kill each minute, in which memory and descriptors must stay flat.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from apimetry.collector.failpoints import NAMES
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.oracles.torture import Target, Torture

# Of a hundred faults, how many of which kind.
EMBEDDED = {"kill_at_random": 40, "kill_at_a_point": 30, "power_cut": 20, "sigterm": 10}
SERVER = {"kill_at_random": 35, "kill_at_a_point": 25, "sigterm": 5, "store_fault": 25, "store_away": 10}
SOAK_PAUSE_S = 0.02
SOAK_ROWS = 100
KILL_EACH_S = 60.0
SAMPLES = 4


@contextmanager
def torture_of(kind, seed, *, pause_s=0.0, rows_per_batch=5):
    """The services of one kind in a temporary directory, and the URL to check afterwards."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        data_dir, server = Path(name, "data"), None
        data_dir.mkdir()
        url = f"chdb://{data_dir}/store"
        target = Target("serve", data_dir)
        if kind == "server":
            (Path(name) / "clickhouse").mkdir()
            server = ClickHouseServer(Path(name) / "clickhouse")
            server.start()
            url = server.url("apimetry")
            target = Target("collector", data_dir, APIMETRY_STORE=url)
        try:
            yield Torture(target, seed=seed, server=server, pause_s=pause_s, rows_per_batch=rows_per_batch), url
        finally:
            target.close()
            if server is not None:
                server.kill()


def hurt(kind, seed, seconds):
    """Faults at random until the time is over."""
    weights = SERVER if kind == "server" else EMBEDDED
    points = sorted(NAMES)
    with torture_of(kind, seed, pause_s=0.002) as (torture, url):
        torture.begin()
        began_s, faults = time.monotonic(), 0
        while time.monotonic() - began_s < seconds:
            (fault,) = torture.rng.choices(list(weights), list(weights.values()))
            if fault == "kill_at_a_point":
                # Each point in turn, so that a long run has been at all of them.
                torture.kill_at_a_point(points[sum(torture.points.values()) % len(points)])
            else:
                getattr(torture, fault)()
            faults += 1
            print(f"\r{kind}: {faults} faults, {len(torture.oracle.acknowledged)} batches", end="", flush=True)
        torture.settle()
        events = torture.check(url)
        kills = torture.target.done["kill"] + torture.points.total()
        print(f"\r{kind}: {events} events stored once after {faults} faults, {kills} kills in {seconds:.0f} s")
        print(f"  points      {dict(torture.points)}")
        print(f"  store       {dict(torture.faults)}")
        print(f"  power       {dict(torture.power)}")
        print(f"  ends        {dict(torture.target.done)}")
        print(f"  clients     {dict(torture.load.counts)}")
        assert torture.load.counts["cut"], "no request was under way at any kill: the run proves nothing"
        return kills


def soak(seed, seconds):
    """Paced load with a kill each minute; memory and descriptors stay flat within each life and from life to life."""
    with torture_of("server", seed, pause_s=SOAK_PAUSE_S, rows_per_batch=SOAK_ROWS) as (torture, url):
        torture.begin()
        began_s, levels = time.monotonic(), []
        while time.monotonic() - began_s < seconds:
            for _ in range(SAMPLES):
                time.sleep(KILL_EACH_S / SAMPLES)
                metrics = torture.target.metrics()
                levels.append((metrics["process_resident_memory_bytes"] / 2**20, metrics["process_open_fds"]))
            print(f"\rsoak: {len(torture.oracle.acknowledged)} batches, {levels[-1][0]:.0f} MiB", end="", flush=True)
            torture.target.kill()
            torture.target.start()
        torture.settle()
        events = torture.check(url)
    print(f"\rsoak: {events} events stored once in {seconds:.0f} s, {len(levels) // SAMPLES} kills")
    for what, column in (("MiB", 0), ("descriptors", 1)):
        # A life's samples in a row: a leak shows within lives, or in the last sample of each.
        values = [level[column] for level in levels]
        lives = [values[i : i + SAMPLES] for i in range(0, len(values), SAMPLES)]
        print(f"  {what:11} {'; '.join(' '.join(f'{value:.0f}' for value in life) for life in lives)}")
        assert lives[-1][-1] < 1.25 * lives[0][-1] + 8, f"{what} grow from life to life"
        assert all(life[-1] < 1.25 * life[0] + 16 for life in lives), f"{what} grow within a life"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="of faults, over all kinds")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=("embedded", "server"))
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed} (process {os.getpid()})", flush=True)
    kinds = [options.only] if options.only else ["embedded", "server"]
    kills = sum(hurt(kind, seed, options.seconds / len(kinds)) for kind in kinds) if options.seconds else 0
    if options.soak:
        soak(seed, options.soak)
    print(f"{kills} kills; missing 0, duplicates 0, unknown 0, changed 0, rollups add up")


if __name__ == "__main__":
    sys.exit(main())
