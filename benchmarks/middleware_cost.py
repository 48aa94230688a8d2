"""What the middleware costs its process beside time in requests: processor, memory, import time.

The processor time is that of all threads together, encoding and sending included: a Starlette application is called
in the process, bare, recorded (a consumer from a header), and with the floor of any recording (two clock reads, a
wrapped `send`, an append: 1.1 µs where the targets were set). They take turns, a burst each, which ends with what is
buffered sent to a server in another process; printed is the median of the bursts' differences, which a machine whose
speed swings does not move, and the floor to compare machines by. Every request has another path.

Memory is the resident size after 10,000 and 100,000 more requests. The modules are compiled, as an installation does.

    python benchmarks/middleware_cost.py [--requests 100000] [--rounds 100]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _middleware_hosts as hosts
import _middleware_peers as peers

IMPORTS = ("asgi", "wsgi")
BURST = 2000
WARM_UP = 5
TARGET_CPU_US = 8


def read_resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def flush(app: object) -> None:
    if hasattr(app, "flush") and not app.flush(30):
        raise RuntimeError("the collector did not take the events")


async def send_burst(app: object, first: int) -> None:
    for number in range(first, first + BURST):
        await hosts.call_asgi(app, f"/v1/scores/{number}")


def measure_processor(rounds: int) -> dict[str, float]:
    """Return the microseconds of processor time a request: the bare application's, and what the others add."""
    applications = {who: peers.add("starlette", who) for who in ("floor", "apimetry")}
    applications["bare"] = hosts.make_starlette()
    spent_us: dict[str, list[float]] = {who: [] for who in applications}
    order = list(applications)
    for number in range(rounds + WARM_UP):
        order.append(order.pop(0))
        for who in order:
            began = time.process_time()
            asyncio.run(send_burst(applications[who], number * BURST))
            flush(applications[who])
            spent_us[who].append((time.process_time() - began) / BURST * 1e6)
    figures = {"bare": statistics.median(spent_us["bare"])}
    for who in ("floor", "apimetry"):
        pairs = zip(spent_us[who][WARM_UP:], spent_us["bare"][WARM_UP:], strict=True)
        figures[who] = statistics.median(recorded - bare for recorded, bare in pairs)
    return figures


def measure_memory(who: str, requests: int) -> dict[str, float]:
    """Return the resident megabytes after 10,000 requests, and after so many more."""
    app = hosts.make_starlette() if who == "bare" else peers.add("starlette", who)
    for number in range(10_000 // BURST):
        asyncio.run(send_burst(app, number * BURST))
    flush(app)
    early = read_resident_mb()
    for number in range(requests // BURST):
        asyncio.run(send_burst(app, number * BURST))
    flush(app)
    return {"early": early, "late": read_resident_mb()}


def run(*arguments: str, environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, *arguments], env=environment, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def time_import(module: str, environment: dict[str, str]) -> float:
    """Return the milliseconds that importing a module takes in a fresh interpreter, without its start."""
    code = (
        "import time; b = time.perf_counter(); import apimetry.middleware."
        f"{module}; print((time.perf_counter() - b) * 1000)"
    )
    return min(float(subprocess.check_output([sys.executable, "-c", code], env=environment)) for _ in range(7))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=100_000, help="for the growth of memory")
    parser.add_argument("--rounds", type=int, default=100, help=f"bursts of {BURST} requests of each")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, number = arguments.one
        figure = measure_processor(int(number)) if what == "processor" else measure_memory(what, int(number))
        print(json.dumps(figure))
        return
    with tempfile.TemporaryDirectory() as compiled:
        environment = {
            **os.environ,
            "APIMETRY_COLLECTOR_URL": hosts.start_collector(),
            "PYTHONPYCACHEPREFIX": compiled,
            "PYTHONDONTWRITEBYTECODE": "",
        }
        report(arguments.requests, arguments.rounds, environment)


def report(requests: int, rounds: int, environment: dict[str, str]) -> None:
    figures = run("--one", "processor", str(rounds), environment=environment)
    print(f"processor time of all threads: + {figures['apimetry']:.1f} µs a request (target {TARGET_CPU_US})")
    print(
        f"  in the same run: floor + {figures['floor']:.2f} (1.1 where the target was set),"
        f" bare {figures['bare']:.1f}"
    )
    memory = [
        # The second run of each: the first compiles.
        [run("--one", who, str(requests), environment=environment) for _ in range(2)][-1]
        for who in ("bare", "apimetry")
    ]
    bare, recorded = memory
    print(f"resident after 10,000 requests: {recorded['early']:.1f} MB, bare {bare['early']:.1f} (target: + 3)")
    print(f"after {requests:,} more: {recorded['late']:.1f} MB, bare {bare['late']:.1f}")
    for module in IMPORTS:
        print(f"import apimetry.middleware.{module}: {time_import(module, environment):.0f} ms (target 50)")


if __name__ == "__main__":
    main()
