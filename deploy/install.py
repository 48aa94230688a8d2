"""Runs pip and says in one line what it is doing: `python deploy/install.py PIP_ARGUMENT…`.

On a terminal the line is renewed each second, in a pipe there is one line a step. What pip printed is shown only
where it fails. Standard library alone: nothing is installed yet.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import TextIO

# What pip prints, and what it means to somebody who waits.
_STEPS = (
    (re.compile(r"Collecting ([A-Za-z0-9_.-]+)"), "looking for {}"),
    (re.compile(r"\s*Downloading ([A-Za-z0-9_.]+?)-[0-9].* (\([0-9.]+ [kMG]?B\))"), "downloading {} {}"),
    (re.compile(r"Installing build dependencies"), "installing what builds the package"),
    (re.compile(r"Building "), "building the package"),
    (re.compile(r"Installing collected packages:"), "unpacking; the engine is large, this may take a minute"),
)
_WIDTH = 78


class ProgressLine:
    """The step under way and how long it has taken in all; shared by two threads, each write is one call."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began_s = time.monotonic()
        self._step = "starting pip"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        if out.isatty():
            self._thread.start()

    def take(self, line: str) -> None:
        """Read a line of pip."""
        for pattern, text in _STEPS:
            match = pattern.match(line)
            if match and text.format(*match.groups()) != self._step:
                self._step = text.format(*match.groups())
                self._show()
                return

    def close(self) -> None:
        """End the line."""
        self._done.set()
        if self._out.isatty():
            self._thread.join()
            self._out.write("\r\033[K")
            self._out.flush()

    def _renew(self) -> None:
        while not self._done.wait(1.0):
            self._show()

    def _show(self) -> None:
        seconds = time.monotonic() - self._began_s
        line = f"    {seconds:3.0f} s  {self._step}"[:_WIDTH]
        self._out.write(f"\r\033[K{line}" if self._out.isatty() else f"{line}\n")
        self._out.flush()


def run(command: Sequence[str], out: TextIO) -> int:
    """Run a command that prints as pip does and return its exit code; where it failed, show all that it printed."""
    printed = []
    progress = ProgressLine(out)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            printed.append(line)
            progress.take(line)
    progress.close()
    if process.returncode:
        out.write("".join(printed))
    return process.returncode


if __name__ == "__main__":
    sys.exit(run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *sys.argv[1:]], sys.stdout))
