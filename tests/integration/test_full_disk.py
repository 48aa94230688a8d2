"""A disk that is really full: questions are answered, batches are refused, and all goes on once there is room."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
import urllib.request

import pytest

from tests.support.services.processes import BOOTSTRAP, post_events, running, total, wait_for_total

SIZE = "120m"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, in memory."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", tmp_path]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def events(count):
    now = time.time()
    return [{"timestamp": now - i, "method": "GET", "url": "/", "status_code": 200} for i in range(count)]


def fill(path):
    """Write until the disk has no room."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(itertools.repeat(bytes(2**16)))


def test_page_and_queries_answer_while_the_disk_is_full_and_batches_are_taken_once_there_is_room(small_disk):
    data_dir = small_disk / "data"
    data_dir.mkdir()
    with running("serve", data_dir=data_dir, **BOOTSTRAP) as service:
        assert post_events(service.collector_url, events(50))[0] == 200
        wait_for_total(service, service.query_url, 50)
        fill(small_disk / "filling")
        for _ in range(3):
            assert post_events(service.collector_url, events(200))[0] == 503
        for path in ("/", "/ready"):
            with urllib.request.urlopen(f"{service.query_url}{path}", timeout=30) as answer:
                assert answer.status == 200
        assert total(service.query_url) == 50
        (small_disk / "filling").unlink()
        service.wait_until(lambda: post_events(service.collector_url, events(7))[0] == 200, "room")
        wait_for_total(service, service.query_url, 57)
