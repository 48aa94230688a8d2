"""A data directory that was copied while its services were stopped is a backup (docs/operations.md)."""

from __future__ import annotations

import shutil
import time

from tests.support.services.processes import BOOTSTRAP, post_events, running, total, wait_for_total


def events(count):
    now = time.time()
    return [{"timestamp": now - i, "method": "GET", "url": "/", "status_code": 200} for i in range(count)]


def test_restored_data_directory_has_the_events_the_keys_and_the_batches_seen_until_the_copy(tmp_path):
    data_dir, copy = tmp_path / "data", tmp_path / "copy"
    data_dir.mkdir()
    batch = events(7)
    with running("serve", data_dir=data_dir, **BOOTSTRAP) as service:
        assert post_events(service.collector_url, batch, **{"X-Batch-Id": "before"})[0] == 200
        wait_for_total(service, service.query_url, 7)
    shutil.copytree(data_dir, copy, symlinks=True)
    with running("serve", data_dir=data_dir) as service:
        assert post_events(service.collector_url, events(5))[0] == 200
        wait_for_total(service, service.query_url, 12)
    with running("serve", data_dir=copy) as service:
        assert total(service.query_url) == 7
        status, answer = post_events(service.collector_url, batch, **{"X-Batch-Id": "before"})
        assert (status, answer.get("duplicate")) == (200, True)
        assert post_events(service.collector_url, events(3))[0] == 200
        wait_for_total(service, service.query_url, 10)
