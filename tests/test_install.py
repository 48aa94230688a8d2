"""`make run` says what it is doing while it installs, and shows what pip said where it fails."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("install", Path(__file__).parent.parent / "deploy" / "install.py")
assert spec is not None
assert spec.loader is not None
install = importlib.util.module_from_spec(spec)
spec.loader.exec_module(install)

PIP = r"""
print("Obtaining file:///a")
print("Collecting chdb-core>=26.7.0 (from chdb>=4->apimetry==0.1.0)")
print("  Downloading chdb_core-26.9.0-cp39-abi3-manylinux2014_x86_64.whl (181.5 MB)")
print("Installing collected packages: urllib3, tzdata")
print("Successfully installed")
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def steps(text):
    return [line.split(" s  ")[1] for line in text.splitlines()]


def test_a_pipe_gets_one_line_a_step():
    out = io.StringIO()
    assert install.run([sys.executable, "-c", PIP], out) == 0
    assert steps(out.getvalue()) == [
        "looking for chdb-core",
        "downloading chdb_core (181.5 MB)",
        "unpacking; the engine is large, this may take a minute",
    ]


def test_a_terminal_gets_one_line_that_is_gone_at_the_end():
    out = Terminal()
    assert install.run([sys.executable, "-c", PIP], out) == 0
    assert "\n" not in out.getvalue()
    assert "downloading chdb_core (181.5 MB)" in out.getvalue()
    assert out.getvalue().endswith("\r\033[K")


def test_a_failure_shows_all_that_pip_printed():
    out = io.StringIO()
    failing = f"{PIP}print('ERROR: no space left'); raise SystemExit(7)"
    assert install.run([sys.executable, "-c", failing], out) == 7
    assert "Obtaining file:///a" in out.getvalue()
    assert "ERROR: no space left" in out.getvalue()
