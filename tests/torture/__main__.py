"""The long torture: real services under load, hurt at random until the time is over, then held against the oracle.

    python -m tests.torture [--seconds 600] [--seed N] [--only embedded|server|fleet] [--soak SECONDS]

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

from apimetry.collector.failpoints import NAMES, SHARING
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.oracles.fleet import Fleet
from tests.support.oracles.torture import Target, Torture

# Of a hundred faults, how many of which kind.
EMBEDDED = {"kill_at_random": 40, "kill_at_a_point": 30, "power_cut": 20, "sigterm": 10}
SERVER = {"kill_at_random": 35, "kill_at_a_point": 25, "sigterm": 5, "store_fault": 25, "store_away": 10}
FLEET = {
    "kill_at_random": 35,
    "kill_at_a_point": 35,
    "kill_the_balancer": 15,
    "restart_one_after_the_other": 5,
    "store_away": 10,
}
# Behind which balancer, how many collectors, whether a batch goes by its id, and how many requests senders give up.
FLEETS = (("haproxy", 2, True, 0.0), ("nginx", 4, False, 0.02), ("haproxy", 4, False, 0.02), ("nginx", 2, True, 0.0))
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
    points = sorted(NAMES if kind == "server" else NAMES - SHARING)
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


def hurt_fleets(seed, seconds):
    """The same for several collectors behind a balancer, one kind of fleet after another."""
    kills = shared = 0
    for options in FLEETS:
        killed, held_by_two = hurt_fleet(seed, seconds / len(FLEETS), *options)
        kills, shared = kills + killed, shared + held_by_two
    assert shared, "no batch was held by two collectors: the run proves nothing"
    return kills


def hurt_fleet(seed, seconds, kind, collectors, is_keyed, give_up):
    name = f"{collectors} collectors behind {kind}, batches by {'id' if is_keyed else 'turn'}"
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        (Path(folder) / "clickhouse").mkdir()
        server = ClickHouseServer(Path(folder) / "clickhouse")
        server.start()
        options = {"collectors": collectors, "is_keyed": is_keyed, "give_up": give_up, "server": server}
        fleet = Fleet(kind, Path(folder) / "fleet", server.url("apimetry"), seed=seed, **options)
        try:
            fleet.begin()
            began_s = time.monotonic()
            while time.monotonic() - began_s < seconds:
                (fault,) = fleet.rng.choices(list(FLEET), list(FLEET.values()))
                getattr(fleet, fault)()
                print(f"\r{name}: {fleet.faults.total()} faults", end="", flush=True)
            fleet.settle()
            events, shared = fleet.check()
        finally:
            fleet.close()
            server.kill()
    kills = fleet.faults["kill"] + sum(fleet.faults[point] for point in NAMES)
    print(f"\r{name}: {events} events stored once, {kills} kills in {seconds:.0f} s")
    print(f"  held by two {shared} batches")
    print(f"  faults      {dict(fleet.faults)}")
    print(f"  clients     {dict(fleet.load.counts)}")
    return kills, shared


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
    parser.add_argument("--only", choices=("embedded", "server", "fleet"))
    parser.add_argument("--soak", type=float, default=0, metavar="SECONDS")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed} (process {os.getpid()})", flush=True)
    kinds = [options.only] if options.only else ["embedded", "server", "fleet"]
    seconds = options.seconds / len(kinds)
    kills = 0
    for kind in kinds if options.seconds else ():
        kills += hurt_fleets(seed, seconds) if kind == "fleet" else hurt(kind, seed, seconds)
    if options.soak:
        soak(seed, options.soak)
    print(f"{kills} kills; missing 0, duplicates 0, unknown 0, changed 0, rollups add up")


if __name__ == "__main__":
    sys.exit(main())
