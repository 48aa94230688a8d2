"""At its exit a process delivers what is buffered, in bounded time, and prints nothing."""

from __future__ import annotations

import threading

import pytest

from tests.middleware.recording import run_script
from tests.support.services.fake_collector import Reply


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); os.kill(os.getpid(), signal.SIGTERM)", 0),
        ("threading.Thread(target=lambda: recorder.record(event())).start()", 0),
        ("atexit.register(lambda: recorder.record(event()))", 0),
    ],
    ids=["return", "sys.exit", "SIGTERM", "thread-still-running", "event-in-atexit"],
)
def test_exit_delivers_what_is_buffered_and_prints_nothing(fake_collector, ending, status):
    done = run_script(fake_collector, f"recorder.record(event())\n{ending}\n")
    assert (done.returncode, done.stderr) == (status, "")
    assert len(fake_collector.events) == (2 if "recorder" in ending else 1)


def test_exit_by_an_unhandled_exception_delivers(fake_collector):
    done = run_script(fake_collector, "recorder.record(event())\nraise LookupError('the host')\n")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("LookupError: the host")
    assert len(fake_collector.events) == 1


def test_exit_delivers_what_a_host_that_is_gone_has_left(fake_collector):
    done = run_script(
        fake_collector,
        """
        def serve():
            Recorder({"flush_interval_s": 3600}).record(event())

        serve()
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(fake_collector.events) == 1


def test_exit_of_a_multiprocessing_child_delivers(fake_collector):
    done = run_script(
        fake_collector,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        recorder.record(event())
        process = multiprocessing.get_context("fork").Process(target=lambda: recorder.record(event()))
        process.start()
        process.join()
        sys.exit(process.exitcode)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(fake_collector.events) == 2


def test_exit_gives_up_on_a_collector_that_hangs(fake_collector):
    hold = threading.Event()
    fake_collector.replies.append(Reply(200, hold=hold))
    done = run_script(fake_collector, "recorder.record(event())\n")
    hold.set()
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "1 events were not delivered before exit" in done.stderr
