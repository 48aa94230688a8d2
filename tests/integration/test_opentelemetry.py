"""Real applications under OpenTelemetry's own instrumentation and exporter send their requests to the collector."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, collecting

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("conventions", "compression"), [("", "gzip"), ("http", "none")])
async def test_requests_of_instrumented_frameworks_are_stored_with_their_routes(tmp_path, conventions, compression):
    async with collecting(tmp_path) as collector:
        environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": str(collector.client.make_url("/v1/traces")),
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": f"Authorization=Bearer%20{KEYS[KeyKind.write]}",
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": compression,
            "OTEL_SEMCONV_STABILITY_OPT_IN": conventions,
        }
        host = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.hosts.instrumented", cwd=ROOT, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, log = await host.communicate()
        assert (host.returncode, output) == (0, b"done\n"), log.decode()
        await collector.drained()
        for source in ("fastapi", "flask", "in_django"):
            rows = [row for row in collector.store.rows if row["source"] == source]
            scores, nothing, boom = sorted(rows, key=lambda row: row["timestamp"])
            assert (scores["url"], scores["route"]) == ("/v1/scores/7?page=***", "/v1/scores/{identity}")
            assert (scores["method"], scores["status_code"], scores["version"]) == ("GET", 200, "1.4")
            assert scores["response_us"] > 0
            assert (nothing["status_code"], nothing["route"]) == (404, "(unmatched)")
            assert (boom["status_code"], boom["error_type"], boom["route"]) == (500, "ValueError", "/v1/boom")
        assert await collector.total("rejected_events_total") == 0
