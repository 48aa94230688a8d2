from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.middleware.event import SLOT_BYTES, clip_event, count_slots
from apimetry.middleware.options import Options
from apimetry.middleware.rows import make_row

SCRIPT = Path(__file__).with_name("bounded_memory.py")
OPTIONS = Options(write_key="k", client_ip="full", trusted_proxies=("10.0.0.0/8",))
MIB = 1024 * 1024


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory where Linux tells it")
def test_memory_stays_under_the_stated_bound_whatever_clients_send():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "7"], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    assert grown["caches"] <= 8 * MIB
    assert grown["buffer"] <= OPTIONS.max_buffer_bytes + 4 * OPTIONS.max_batch_bytes


texts = st.text(max_size=40) | st.text(min_size=1, max_size=4).map(lambda text: text * 1500)


@given(texts, texts, texts, texts, st.tuples(st.just("10.0.0.1"), texts, texts), texts)
def test_cutting_what_is_kept_changes_nothing_of_what_is_sent(method, path, query, error, client, agent):
    details = (error, client, agent, None)
    event = (0, method, path, query.encode(), ("/r", "f"), 200, 1, None, "9" * 50, 1, "", "", 1, details)
    assert make_row(clip_event(event), OPTIONS, 0)[:11] == make_row(event, OPTIONS, 0)[:11]


@given(st.integers(1, 15).filter(lambda index: index not in {4, 5, 6, 7, 9}))
def test_every_text_of_an_event_counts_against_the_buffer(index):
    event = [0, "GET", "/a", b"", ("/a", "f"), 200, 1, 1, 0, 0, "", ""]
    details = ["", "", "", None]
    assert count_slots((*event, 1, tuple(details))) == 1
    for text in ("a" * 10_000, "中" * 10_000):
        if index < len(event):
            event[index] = text
        else:
            place = index - len(event)
            details[place] = ("", text, "") if place == 1 else {"k": text} if place == 3 else text
        assert count_slots((*event, 1, tuple(details))) * SLOT_BYTES >= sys.getsizeof(text)
