"""Server spans a second that one core takes over OTLP, beside protobuf's own reader and the middleware's format.

    python benchmarks/otlp_ingest.py [--spans 100000] [--batch 500] [--clients 4]

A span has 14 attributes, as an instrumented server of the stable conventions sends them. The figure is the CPU time
of the collector's process for a span: from the socket until the event is in the spool, fsync'd, without a store. One
core takes one second of it. The limit is the same bodies read by protobuf's own classes, with one look at every
attribute and nothing else done. Sender and collector share the machine's cores, so only ratios and CPU times mean
something.
"""

# ruff: noqa: E402 - the path of the repository comes first
from __future__ import annotations

import argparse
import asyncio
import gzip
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import aiohttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks._collector_under_test import WRITE_KEY
from benchmarks._ingest_events import batches
from benchmarks.collector_ingest import collector

KINDS = 50
"""Distinct bodies; the others repeat them with other trace ids."""


def body_of(batch: int, seed: int) -> ExportTraceServiceRequest:
    """Make one request of `batch` spans: 10,000 URLs, 30 routes."""
    rng = random.Random(seed)
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
    spans = resource_spans.scope_spans.add().spans
    now_ns = time.time_ns()
    for _ in range(batch):
        start_ns = now_ns - rng.randrange(3_600 * 10**9)
        route = f"/v1/scores/{{identity}}/{rng.randrange(30)}"
        span = spans.add(name=f"GET {route}", kind=2, start_time_unix_nano=start_ns, flags=257)
        span.end_time_unix_nano = start_ns + rng.randrange(10**6, 9 * 10**7)
        span.trace_id, span.span_id = rng.randbytes(16), rng.randbytes(8)
        attributes: dict[str, str | int] = {
            "http.request.method": rng.choice(["GET", "GET", "POST"]),
            "url.scheme": "https",
            "url.path": f"/v1/scores/{rng.randrange(10_000)}",
            "url.query": "page=2",
            "http.route": route,
            "http.response.status_code": rng.choice([200, 200, 200, 404, 500]),
            "http.response.body.size": rng.randrange(9000),
            "server.address": "shop.example",
            "server.port": 443,
            "network.protocol.version": "1.1",
            "network.peer.address": "10.0.0.7",
            "network.peer.port": rng.randrange(1024, 65_536),
            "client.address": f"203.0.113.{rng.randrange(256)}",
            "user_agent.original": rng.choice(["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.1", "Go-http-client/1.1"]),
        }
        for name, value in attributes.items():
            holder = span.attributes.add(key=name).value
            if isinstance(value, int):
                holder.int_value = value
            else:
                holder.string_value = value
    return request


def bodies_of(spans: int, batch: int) -> list[bytes]:
    """Make distinct requests in protobuf."""
    kinds = [body_of(batch, seed) for seed in range(KINDS)]
    bodies = []
    for number in range(spans // batch):
        request = kinds[number % KINDS]
        # One other id makes another batch.
        request.resource_spans[0].scope_spans[0].spans[0].trace_id = (number + 1).to_bytes(16, "big")
        bodies.append(request.SerializeToString())
    return bodies


def read_alone(bodies: list[bytes], spans: int) -> float:
    """Return the CPU µs a span of protobuf's own classes, with one look at every attribute."""
    began_s = time.process_time()
    for body in bodies:
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    values = {
                        attribute.key: attribute.value.string_value or attribute.value.int_value
                        for attribute in span.attributes
                    }
                    assert (span.kind, bool(values), len(span.trace_id)) == (2, True, 16)
    return (time.process_time() - began_s) / spans * 1e6


async def send(url: str, bodies: list[bytes], headers: dict[str, str], clients: int) -> float:
    """Send all bodies; return the seconds that it took."""
    pending = iter(bodies)
    began_s = time.perf_counter()

    async def client(session: aiohttp.ClientSession) -> None:
        for body in pending:
            async with session.post(url, data=body, headers=headers) as response:
                assert response.status == 200, await response.text()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*[client(session) for _ in range(clients)])
    return time.perf_counter() - began_s


def through(name: str, path: str, bodies: list[bytes], options: argparse.Namespace, **headers: str) -> float:
    """Return the CPU µs an event of a collector without a store; print it with the rate."""
    sent = {"X-API-Key": WRITE_KEY, **{key.replace("_", "-"): value for key, value in headers.items()}}
    with collector("none") as measured:
        cpu_s = measured.cpu_s
        seconds = asyncio.run(send(f"{measured.url}{path}", bodies, sent, options.clients))
        while measured.stored < options.spans:
            time.sleep(0.01)
        cpu = (measured.cpu_s - cpu_s) / options.spans * 1e6
    print(
        f"  {name:<22} {cpu:>6.2f} us/event: {1e6 / cpu:>7,.0f}/s on one core"
        f" ({options.spans / seconds:,.0f}/s here, {sum(map(len, bodies)) / options.spans:.0f} bytes/event)",
        flush=True,
    )
    return cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    options.spans -= options.spans % options.batch
    bodies = bodies_of(options.spans, options.batch)
    limit = read_alone(bodies, options.spans)
    print(f"protobuf's own classes alone: {limit:.2f} us/span, {1e6 / limit:,.0f}/s")
    print(f"through a collector without a store, batches of {options.batch}, {options.clients} clients")
    cpu = through("OTLP protobuf", "/v1/traces", bodies, options, Content_Type="application/x-protobuf")
    print(f"    {cpu / limit:.2f} of protobuf's own classes alone")
    zipped = [gzip.compress(body, 6) for body in bodies]
    through(
        "OTLP protobuf, gzip",
        "/v1/traces",
        zipped,
        options,
        Content_Type="application/x-protobuf",
        Content_Encoding="gzip",
    )
    packed = batches(options.spans, options.batch, "msgpack")
    through("MessagePack", "/1/event/", packed, options, Content_Type="application/msgpack")


if __name__ == "__main__":
    main()
