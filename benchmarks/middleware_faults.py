"""What a collector that misbehaves costs the host: added latency and throughput, per kind of fault.

A Starlette application is called in the process, bare and recorded in turns, while the collector is up, down
(nothing listens), slow (answers after a second), hanging (never answers), resetting (closes each connection), or
refusing (503). Printed are the median and the 99th percentile that the middleware adds, its throughput beside the
bare application's, and what the middleware counted. Targets: p99 + 1 ms, throughput within 5 %.

The paired requests run back to back with no pause, which no server does: the ratio's denominator is a request of
some 15 µs. Beside it stands the throughput with a request of a millisecond of work, which is still a fast one.

    python benchmarks/middleware_faults.py [--requests 30000]
"""

# ruff: noqa: ANN001, ANN201, ANN202 - a script
from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import socket
import statistics
import struct
import threading
import time
from time import perf_counter_ns

import _middleware_hosts as hosts

from apimetry.middleware.asgi import ASGIMiddleware

KINDS = ("up", "down", "slow", "hanging", "resetting", "refusing")
WORK_S = 0.001


def misbehave(kind: str, pipe) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    pipe.send(listener.getsockname()[1])
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=(kind, client), daemon=True).start()


def answer(kind: str, client: socket.socket) -> None:
    if kind == "resetting":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        return
    status = b"503 Service Unavailable" if kind == "refusing" else b"200 OK"
    stream = client.makefile("rb")
    while line := stream.readline():
        length = 0
        while line.strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
            line = stream.readline()
        stream.read(length)
        if kind == "hanging":
            time.sleep(3600)
        if kind == "slow":
            time.sleep(1)
        client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")


def start(kind: str) -> str:
    if kind == "down":
        return "http://127.0.0.1:9"
    context = multiprocessing.get_context("spawn")
    parent_end, child_end = context.Pipe()
    context.Process(target=misbehave, args=(kind, child_end), daemon=True).start()
    return f"http://127.0.0.1:{parent_end.recv()}"


def add_work(app):
    async def working(scope, receive, send):
        end = perf_counter_ns() + int(WORK_S * 1e9)
        while perf_counter_ns() < end:
            pass
        await app(scope, receive, send)

    return working


async def count_in(app, duration_s: float) -> int:
    end, count = time.perf_counter() + duration_s, 0
    while time.perf_counter() < end:
        await hosts.call_asgi(app)
        count += 1
    return count


def measure(kind: str, requests: int) -> None:
    options = {"write_key": hosts.WRITE_KEY, "consumer": "X-API-Key", "collector_url": start(kind)}
    bare, recorded = hosts.make_starlette(), ASGIMiddleware(hosts.make_starlette(), **options)
    hosts.alternate("starlette", [bare, recorded], 500)
    first, second = hosts.alternate("starlette", [bare, recorded], requests)
    middle = (statistics.median(second) - statistics.median(first)) / 1000
    tail = (statistics.quantiles(second, n=100)[98] - statistics.quantiles(first, n=100)[98]) / 1000
    shares = []
    working, working_recorded = add_work(hosts.make_starlette()), ASGIMiddleware(add_work(bare), **options)
    for _ in range(60):
        plain = asyncio.run(count_in(working, 0.05))
        shares.append(asyncio.run(count_in(working_recorded, 0.05)) / plain)
    counters = recorded.recorder.counters()
    print(
        f"{kind:<10} added median {middle:5.1f} µs, p99 {tail:7.1f} µs; "
        f"throughput {statistics.median(shares):6.1%} of bare; {counters}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=30_000)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for kind in KINDS:
        process = multiprocessing.get_context("spawn").Process(target=measure_alone, args=(kind, arguments.requests))
        process.start()
        process.join()


def measure_alone(kind: str, requests: int) -> None:
    logging.disable(logging.CRITICAL)
    multiprocessing.current_process()._config["daemon"] = False  # noqa: SLF001 - it starts a collector of its own
    measure(kind, requests)


if __name__ == "__main__":
    main()
