"""Children of a process with threads, which pre-forking servers make, and newer Pythons warn of."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from tests.middleware.recording import event, in_child, run_script


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_sends_its_own_events_and_none_of_its_parents(make, fake_collector):
    recorder = make(flush_interval_s=3600)
    recorder.record(event("/parent"))

    def child():
        recorder.record(event("/child"))
        assert recorder.flush(20)

    assert in_child(child) == 0
    assert recorder.flush(10)
    assert sorted(e["url"] for e in fake_collector.events) == ["/child", "/parent"]
    assert len({post.batch["sender"]["instance"] for post in fake_collector.posts}) == 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_while_the_buffers_lock_is_held_does_not_hang_the_child(make, fake_collector):
    recorder = make(max_buffer_events=1, flush_interval_s=3600)
    recorder.record(event("/parent"))
    buffer = recorder._exporter._worker.buffer

    def child():
        recorder.record(event("/child"))
        recorder.record(event("/dropped"))
        assert recorder.flush(20)

    held, done = threading.Event(), threading.Event()

    def hold():
        with buffer._lock:
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        assert [in_child(child) for _ in range(20)] == [0] * 20
    finally:
        done.set()
        holder.join()
    assert recorder.flush(10)
    urls = [e["url"] for e in fake_collector.events]
    assert (urls.count("/child"), urls.count("/parent")) == (20, 1)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_that_python_did_not_see_is_noticed_at_the_next_event(make, fake_collector):
    recorder = make(flush_interval_s=3600)
    recorder.record(event("/parent"))
    parents = recorder._exporter._worker

    def child():
        # What a C fork leaves: the parent's state, and another process id.
        recorder._exporter._worker, recorder._exporter._pid = parents, parents.pid
        recorder._exporter._buffer = parents.buffer
        recorder._exporter.workers = {parents.pid: parents}
        assert recorder.counters()["captured"] == 0
        recorder.record(event("/child"))
        assert recorder.flush(20)

    assert in_child(child) == 0
    assert recorder.flush(10)
    assert sorted(e["url"] for e in fake_collector.events) == ["/child", "/parent"]


def test_thousand_forks_with_the_buffers_lock_held_neither_hang_nor_double_nor_lose(fake_collector):
    done = run_script(
        fake_collector,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        recorder.record(event("/parent"))
        lock = recorder._exporter._worker.buffer._lock
        held, end = threading.Event(), threading.Event()

        def hold():
            with lock:
                held.set()
                end.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        for start in range(0, 1000, 20):
            children = []
            for number in range(start, start + 20):
                pid = os.fork()
                if pid == 0:
                    signal.alarm(30)
                    recorder.record(event(f"/child/{number}" + "/x" * 150))  # a long one takes the lock
                    # Each fifth delivers; the others end like a killed worker.
                    os._exit(0 if number % 5 or recorder.flush(20) else 1)
                children.append(pid)
            for pid in children:
                if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
                    sys.exit(5)
        end.set()
        """,
        options=(),
        timeout_s=110,
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    counts = Counter(e["url"] for e in fake_collector.events)
    assert set(counts.values()) == {1}
    assert set(counts) >= {"/parent", *(f"/child/{number}" + "/x" * 150 for number in range(0, 1000, 5))}
