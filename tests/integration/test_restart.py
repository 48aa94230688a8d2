"""Restarting `serve` while requests come in loses nothing and counts nothing twice."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from tests.support.hosts.fixtures_hosts import start_host
from tests.support.oracles.load import send_concurrently
from tests.support.services.keys import WRITE_KEY
from tests.support.services.ports import free_port
from tests.support.services.processes import BOOTSTRAP, post_events, running, wait_for_total


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_requests_during_a_restart_are_all_counted_once(tmp_path, number):
    """The host buffers and retries while the collector is away; what was acknowledged is on disk."""
    ports = {"APIMETRY_COLLECTOR_PORT": str(free_port()), "APIMETRY_QUERY_PORT": str(free_port())}
    requests = [("GET", f"/v1/scores/{i}", None) for i in range(2000)]
    before, during, after = requests[:500], requests[500:1000], requests[1000:]
    with running("serve", data_dir=tmp_path, **ports, **BOOTSTRAP) as service:
        with start_host("fastapi-uvicorn", collector_url=service.collector_url, write_key=WRITE_KEY) as host:
            send_concurrently(host.url, before, clients=10)
            load = threading.Thread(target=send_concurrently, args=(host.url, during, 10))
            load.start()
            code = service.stop(number)
            assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL), service.output
            load.join()
            with running("serve", data_dir=tmp_path, **ports, **BOOTSTRAP) as again:
                send_concurrently(host.url, after, clients=10)
                wait_for_total(again, again.query_url, 2000)


def test_an_acknowledged_batch_survives_a_kill_and_its_repetition_counts_once(tmp_path):
    started = time.time()
    events = [
        {"timestamp": started - i, "method": "GET", "url": f"/{i}", "response_us": i, "status_code": 200}
        for i in range(100)
    ]
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as service:
        acknowledged = post_events(service.collector_url, events, **{"X-Batch-Id": "batch-1"})
        assert acknowledged == (200, {"accepted": 100, "rejected": 0})
        service.stop(signal.SIGKILL)
    with running("serve", data_dir=tmp_path, **BOOTSTRAP) as service:
        again = post_events(service.collector_url, events, **{"X-Batch-Id": "batch-1"})
        assert again == (200, {"accepted": 100, "rejected": 0, "duplicate": True})
        # A later batch that is queryable shows that the earlier one had its chance to be stored twice.
        post_events(service.collector_url, events[:1], **{"X-Batch-Id": "batch-2"})
        wait_for_total(service, service.query_url, 101)
