"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine may take any time for an example.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

# The tests start services some hundred times: Python keeps what it has compiled, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = ["tests.support.engine.fixtures_store", "tests.support.hosts.fixtures_hosts"]

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 * 1024**3
HERE = Path(__file__).parent
LONGEST = (HERE / "integration", HERE)


def pytest_configure() -> None:
    """Keep the tests' files in memory where it has room: stores and spools sync to the disk thousands of times."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES < _available_bytes():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules whose tests take longest, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.path.parent not in LONGEST)


def _available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024
