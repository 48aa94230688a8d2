from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from apimetry.middleware.buffer import Buffer
from apimetry.middleware.event import SLOT_BYTES


def event(path="/a", data=None):
    details = None if data is None else ("", "", "", data)
    return (0, "GET", path, b"", ("/a", "f"), 200, 1, 1, 0, 0, "", "", 1, details)


def test_full_buffer_drops_newest_and_counts_it():
    buffer = Buffer(max_events=2, max_bytes=10**9, wake_at=10)
    assert [buffer.add(event(path)) for path in "abc"] == [True, True, False]
    assert [e[2] for e in buffer.take(10, 10**9)] == ["a", "b"]
    assert (buffer.captured_total, buffer.full_total) == (3, 1)


def test_bytes_are_bounded_too():
    buffer = Buffer(max_events=100, max_bytes=10 * SLOT_BYTES, wake_at=100)
    assert [buffer.add(event("x" * 1000)) for _ in range(4)] == [True, True, True, False]
    assert not buffer.add(event(data={"k": "v" * 1000}))
    assert buffer.add(event())
    assert not buffer.add(event())
    assert len(buffer.take(100, 10**9)) == 4
    buffer.release()
    assert [buffer.add(event()) for _ in range(11)] == [True] * 10 + [False]


def test_what_is_taken_takes_room_until_it_is_released():
    buffer = Buffer(max_events=2, max_bytes=10**9, wake_at=10)
    buffer.add(event())
    buffer.add(event())
    buffer.take(2, 10**9)
    assert (buffer.add(event()), len(buffer)) == (False, 2)
    buffer.release()
    assert (buffer.add(event()), len(buffer)) == (True, 1)


def test_first_event_wakes_an_idle_waiter():
    buffer = Buffer(max_events=10, max_bytes=10**9, wake_at=5)
    waiter = threading.Thread(target=buffer.wait_for_first, args=(60,))
    waiter.start()
    buffer.add(event())
    waiter.join(10)
    assert not waiter.is_alive()


def test_full_batch_wakes_the_waiter():
    buffer = Buffer(max_events=10, max_bytes=10**9, wake_at=2)
    waiter = threading.Thread(target=buffer.wait, args=(60,))
    waiter.start()
    buffer.add(event())
    buffer.add(event())
    waiter.join(10)
    assert not waiter.is_alive()


@given(st.lists(st.one_of(st.sampled_from(["add", "add large"]), st.integers(1, 5)), max_size=60))
def test_counters_add_up_and_bounds_hold(steps):
    buffer = Buffer(max_events=7, max_bytes=6 * SLOT_BYTES, wake_at=3)
    added = removed = 0
    for step in steps:
        if isinstance(step, str):
            added += 1
            buffer.add(event("x" * 500 if step == "add large" else "/a"))
        else:
            removed += len(buffer.take(step, 10**9))
            buffer.release()
        assert len(buffer) <= 6
        assert buffer.captured_total == added == removed + len(buffer) + buffer.full_total
    buffer.take(6, 10**9)
    buffer.release()
    assert [buffer.add(event()) for _ in range(7)] == [True] * 6 + [False]


def test_batch_of_small_and_large_events_is_bounded_in_bytes():
    buffer = Buffer(max_events=100, max_bytes=10**9, wake_at=100)
    for number in range(10):
        buffer.add(event("x" * 500 if number == 2 else "/a"))
    assert [len(buffer.take(100, 3 * SLOT_BYTES)) for _ in range(4)] == [3, 3, 3, 1]


def test_threads_lose_no_event_and_no_count():
    buffer = Buffer(max_events=1000, max_bytes=10**9, wake_at=10**6)
    threads = [threading.Thread(target=lambda: [buffer.add(event()) for _ in range(1000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buffer.captured_total == 8000
    # Threads that look at the length at the same instant may each add one more.
    assert 1000 <= len(buffer) <= 1008
