"""Record events as an adapter does, in this process, in a forked child, or in a script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap


def event(path="/a", status=200, response_ns=5_000_000):
    return (
        1_700_000_000_000_000_000,
        "GET",
        path,
        b"",
        ("/a", "app.a"),
        status,
        response_ns,
        4_000_000,
        0,
        3,
        "",
        "",
        1,
        None,
    )


def in_child(action):
    """Run `action` in a forked child and return its exit status; a child that hangs is ended by an alarm."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            action()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child must not come back into pytest
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_script(collector, body, *, options=("-X", "dev"), timeout_s=60):
    script = textwrap.dedent("""
        import atexit, multiprocessing, os, signal, sys, threading
        from apimetry.middleware.recorder import Recorder
        from tests.middleware.recording import event
        recorder = Recorder({"flush_interval_s": 3600})
    """) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, *options, "-c", script],
        env={
            **os.environ,
            "APIMETRY_COLLECTOR_URL": collector.url,
            "APIMETRY_WRITE_KEY": collector.options["write_key"],
        },
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout_s,
    )
