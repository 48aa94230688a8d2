"""What the middleware costs its process beside time in requests: processor, memory, import time.

The processor time is that of all threads together, encoding and sending included: a process serves requests in the
process with and without the middleware (a Starlette application, a consumer from a header), the collector is a
server in another process that answers 200. Memory is the resident size after 100,000 requests.

    python benchmarks/middleware_cost.py [--requests 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import _middleware_hosts as hosts
import _middleware_peers as peers

IMPORTS = ("asgi", "wsgi")


def read_resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve(who: str, requests: int) -> dict[str, float]:
    """Serve requests as fast as they go; memory after the first tenth, and its growth over the rest."""
    app = hosts.make_starlette() if who == "bare" else peers.add("starlette", who)
    hosts.alternate("starlette", [app], requests // 10)
    flush(app)
    early = read_resident_bytes()
    began_cpu, began = time.process_time(), time.perf_counter()
    hosts.alternate("starlette", [app], requests)
    ended = time.perf_counter()
    flush(app)
    return {
        "cpu_us": (time.process_time() - began_cpu) / requests * 1e6,
        "wall_us": (ended - began) / requests * 1e6,
        "early_mb": early / 1e6,
        "late_mb": read_resident_bytes() / 1e6,
    }


def flush(app: object) -> None:
    if hasattr(app, "flush") and not app.flush(30):
        raise RuntimeError("the collector did not take the events")


def run(*arguments: str, url: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "APIMETRY_COLLECTOR_URL": url},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def time_import(module: str) -> float:
    """Milliseconds that importing a module takes in a fresh interpreter, without its start."""
    code = (
        "import time; b = time.perf_counter(); import apimetry.middleware."
        f"{module}; print((time.perf_counter() - b) * 1000)"
    )
    return min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(7))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(serve(arguments.one, arguments.requests)))
        return
    url = hosts.start_collector()
    requests = str(arguments.requests)
    # Other work on the machine only ever adds: the cheapest of several runs is the closest.
    runs = {
        who: [run("--one", who, "--requests", requests, url=url) for _ in range(4)] for who in ("bare", "apimetry")
    }
    cpu_us = {who: min(figures["cpu_us"] for figures in found) for who, found in runs.items()}
    print(f"processor time of all threads: + {cpu_us['apimetry'] - cpu_us['bare']:.1f} µs a request (target 8)")
    bare, ours = runs["bare"][-1], runs["apimetry"][-1]
    print(f"resident after {int(requests) // 10:,} requests: {ours['early_mb']:.1f} MB, bare {bare['early_mb']:.1f}")
    grown, grown_bare = ours["late_mb"] - ours["early_mb"], bare["late_mb"] - bare["early_mb"]
    print(f"growth over {int(requests):,} more: {grown:.1f} MB, bare {grown_bare:.1f} (target: + 3 in all)")
    for module in IMPORTS:
        print(f"import apimetry.middleware.{module}: {time_import(module):.0f} ms (target 50)")


if __name__ == "__main__":
    main()
