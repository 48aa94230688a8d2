"""Batches on disk: what a killed or ended host could not deliver, the next one delivers, once."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from apimetry.middleware.overflow import Overflow
from apimetry.middleware.recorder import Recorder
from tests.middleware.recording import event, in_child
from tests.support.services.fake_collector import FakeCollector, Reply
from tests.support.services.keys import WRITE_KEY

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def make(tmp_path):
    """Make a recorder that keeps on disk what the collector does not take."""

    def build(url=NOBODY, **options):
        return Recorder({"collector_url": url, "write_key": WRITE_KEY, "buffer_dir": tmp_path, **options}, {})

    return build


def batches(folder):
    return sorted(folder.glob("*/*.batch"))


def start_host(folder, url, body):
    """Start a process that records as `body` says and prints when it has."""
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from apimetry.middleware.recorder import Recorder
        from tests.middleware.recording import event
        folder = Path({str(folder)!r})
        options = {{"collector_url": {url!r}, "write_key": {WRITE_KEY!r}, "buffer_dir": folder}}
        recorder = Recorder(options, {{}})
    """) + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_killed_host_loses_nothing_that_was_on_disk(tmp_path, make, fake_collector):
    host = start_host(
        tmp_path,
        NOBODY,
        """
        for number in range(3):
            recorder.record(event(f"/{number}"))
            while len(list(folder.glob("*/*.batch"))) <= number:
                time.sleep(0.01)
        print("kept", flush=True)
        time.sleep(60)
        """,
    )
    assert host.stdout.readline() == "kept\n"
    host.send_signal(signal.SIGKILL)
    host.communicate()
    files = [path.name for path in batches(tmp_path)]
    recorder = make(fake_collector.url)
    recorder.record(event("/next"))
    assert recorder.flush(10)
    assert [e["url"] for e in fake_collector.events] == ["/0", "/1", "/2", "/next"]
    assert [post.headers["x-batch-id"] for post in fake_collector.posts[:3]] == [n.split("-")[1] for n in files]
    # The dead process may have sent them.
    assert not any("x-batch-attempt" in post.headers for post in fake_collector.posts[:3])
    assert batches(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 1
    # The dead process counted its own.
    assert recorder.counters() == {"captured": 1, "sent": 1, "dropped": {}}


def test_exit_leaves_on_disk_what_a_hanging_collector_did_not_take(tmp_path, make, fake_collector):
    hold = threading.Event()
    fake_collector.replies.append(Reply(503, hold=hold))
    host = start_host(tmp_path, fake_collector.url, "recorder.record(event('/a'))")
    assert host.communicate(timeout=30) == ("", None)
    hold.set()
    assert len(batches(tmp_path)) == 1
    recorder = make(fake_collector.url)
    recorder.record(event("/b"))
    assert recorder.flush(10)
    assert sorted(e["url"] for e in fake_collector.events) == ["/a", "/b"]


def test_collector_that_comes_back_gets_the_kept_batches_in_order(tmp_path, make):
    collector = FakeCollector()
    recorder = make(collector.url)
    for number in range(3):
        recorder.record(event(f"/{number}"))
        assert not recorder.flush(0.2) or number < 0
    with collector:
        collector.wait_for_events(3)
        assert recorder.flush(10)
    assert [e["url"] for e in collector.events] == ["/0", "/1", "/2"]
    assert recorder.counters() == {"captured": 3, "sent": 3, "dropped": {}}
    assert batches(tmp_path) == []


def test_batches_of_a_living_process_are_left_alone(tmp_path, make, fake_collector):
    living = make()
    living.record(event("/living"))
    assert not living.flush(5)
    other = make(fake_collector.url)
    other.record(event("/other"))
    assert other.flush(10)
    assert [e["url"] for e in fake_collector.events] == ["/other"]
    assert len(batches(tmp_path)) == 1


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_neither_holds_nor_takes_its_parents_folder(tmp_path, make, fake_collector):
    recorder = make()
    recorder.record(event("/parent"))
    assert not recorder.flush(5)
    (lock,) = tmp_path.glob("*/lock")

    def child():
        assert lock not in [descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()]
        other = Recorder({**fake_collector.options, "buffer_dir": tmp_path}, {})
        other.record(event("/child"))
        assert other.flush(20)

    assert in_child(child) == 0
    assert [e["url"] for e in fake_collector.events] == ["/child"]
    assert len(batches(tmp_path)) == 1


def test_folder_is_bounded_and_what_does_not_fit_stays_in_memory(tmp_path, make, fake_collector):
    overflow = Overflow(tmp_path, "a", max_bytes=100, max_age_s=60)
    overflow.open()
    assert overflow.store(b"1" * 16, b"x" * 60, 1)
    assert not overflow.store(b"2" * 16, b"x" * 60, 1)
    assert overflow.store(b"3" * 16, b"x" * 40, 1)
    overflow.close()
    fake_collector.replies.append(Reply(503))
    recorder = make(fake_collector.url, buffer_dir_max_bytes=101)
    recorder.record(event("/memory"))
    fake_collector.wait_for_events(1)
    assert recorder.flush(10) or batches(tmp_path)


def test_old_batches_are_dropped_and_counted(tmp_path, make, fake_collector, caplog):
    fake_collector.replies.append(Reply(503))
    recorder = make(fake_collector.url, buffer_dir_max_age_s=0.000001)
    recorder.record(event())
    fake_collector.wait_for_posts(1)
    # Kept, dropped as too old, and then there is nothing left to tell of.
    while not recorder.flush(10):
        pass
    assert recorder.counters() == {"captured": 1, "sent": 0, "dropped": {"expired": 1}}
    assert batches(tmp_path) == []


def test_no_batch_waits_longer_than_collectors_recognize_it(tmp_path):
    from apimetry.collector.settings import SpoolSettings
    from apimetry.middleware.options import Options

    an_hour_s = 3600
    assert Options.buffer_dir_max_age_s <= SpoolSettings(directory=tmp_path).batch_window_s - an_hour_s


def test_files_are_the_owners_alone_and_foreign_files_are_no_matter(tmp_path, make, fake_collector):
    folder = tmp_path / "deep" / "buffer"
    overflow = Overflow(folder, "a", max_bytes=10**6, max_age_s=60)
    overflow.open()
    assert overflow.store(b"i" * 16, b"body", 7)
    (folder / "a" / "notes.batch").write_text("not a batch")
    (folder / "README").write_text("nor a folder")
    stored = overflow.oldest()
    assert (stored.batch_id, stored.events, stored.path.read_bytes(), stored.is_own) == (b"i" * 16, 7, b"body", True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (stored.path, folder / "a", folder / "a" / "lock")}
    assert set(modes.values()) == {0o600, 0o700}
    assert time.time_ns() - stored.stored_at_ns < 60e9
    overflow.close()


def test_folder_that_cannot_be_written_costs_a_warning_and_nothing_else(tmp_path, fake_collector, caplog):
    (tmp_path / "file").write_text("")
    recorder = Recorder({**fake_collector.options, "buffer_dir": tmp_path / "file"}, {})
    recorder.record(event())
    assert recorder.flush(10)
    assert len(fake_collector.events) == 1
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["apimetry"]
