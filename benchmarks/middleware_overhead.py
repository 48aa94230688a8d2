"""What the middleware adds to a request, in the process: microseconds beside the bare application.

Route, function, sizes and a consumer (from a header) are captured; the collector is a server in another process that
answers 200. Each figure comes from a process of its own: many short rounds, in which bare and recorded requests take
turns, so that a noisy machine's noise falls on both; a round gives the difference of its two medians; printed is the
median of the rounds, with the quartiles. The garbage collector's old objects are frozen, its young ones collected.

    python benchmarks/middleware_overhead.py [--rounds 400] [--frameworks starlette,flask]

With `--peers`, others' middlewares are measured in the same run, those that are installed:

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install . starlette fastapi flask django 'apitally<1' httpx api-analytics \
        prometheus-fastapi-instrumentator starlette-exporter prometheus-flask-exporter django-prometheus \
        opentelemetry-sdk opentelemetry-instrumentation-asgi opentelemetry-instrumentation-fastapi \
        opentelemetry-instrumentation-flask opentelemetry-instrumentation-django
    /tmp/peers/bin/python benchmarks/middleware_overhead.py --peers
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import statistics
import subprocess
import sys

import _middleware_hosts as hosts
import _middleware_peers as peers

WARM_UP = 300
REQUESTS_PER_ROUND = 20
TARGETS_US = {"starlette": 5, "fastapi": 8, "flask": 10, "django": 10}


def measure(framework: str, who: str, rounds: int) -> dict[str, float]:
    # Django has one set of settings in a process, which the middleware's way of adding itself completes.
    bare = None if framework == "django" else hosts.MAKE[framework]()
    recorded = peers.add(framework, who)
    bare = bare or hosts.make_django()
    hosts.alternate(framework, [bare, recorded], WARM_UP)
    gc.collect()
    gc.freeze()
    bare_us, differences = [], []
    for _ in range(rounds):
        first, second = (
            statistics.median(t) / 1000 for t in hosts.alternate(framework, [bare, recorded], REQUESTS_PER_ROUND)
        )
        bare_us.append(first)
        differences.append(second - first)
    low, middle, high = statistics.quantiles(differences, n=4)
    return {"bare": statistics.median(bare_us), "low": low, "added": middle, "high": high}


def measure_apart(framework: str, who: str, rounds: int, url: str) -> dict[str, float] | str:
    """Measure in a process of its own; where that fails, say why in a few words."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", framework, who, "--rounds", str(rounds)],
        env={**os.environ, "APIMETRY_COLLECTOR_URL": url, "BENCH_COLLECTOR_URL": url},
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["failed"]
        return last[0][:60]
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=400, help="rounds of 20 requests each, bare and recorded")
    parser.add_argument("--frameworks", default=",".join(hosts.FRAMEWORKS))
    parser.add_argument("--peers", action="store_true", help="others' middlewares too, where they are installed")
    parser.add_argument("--who", default="", help="only these, comma-separated")
    parser.add_argument("--one", nargs=2, metavar=("FRAMEWORK", "WHO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        logging.disable(logging.CRITICAL)
        print(json.dumps(measure(*arguments.one, arguments.rounds)))
        return
    url = hosts.start_collector()
    print(f"{'':34} {'bare':>8} {'added':>8}   quartiles     (µs)")
    everyone = ("apimetry", *peers.PEERS) if arguments.peers else ("apimetry",)
    for who in arguments.who.split(",") if arguments.who else everyone:
        for framework in arguments.frameworks.split(","):
            if framework not in peers.FRAMEWORKS_OF.get(who, hosts.FRAMEWORKS):
                continue
            figures = measure_apart(framework, who, arguments.rounds, url)
            name = f"{who} {framework}"
            if isinstance(figures, str):
                print(f"{name:<34} not measured: {figures}")
                continue
            target = f"target {TARGETS_US[framework]}" if who == "apimetry" else ""
            print(
                f"{name:<34} {figures['bare']:8.1f} {figures['added']:8.1f}   "
                f"{figures['low']:.1f} to {figures['high']:.1f}   {target}",
                flush=True,
            )


if __name__ == "__main__":
    main()
