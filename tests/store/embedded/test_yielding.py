"""The embedded engine's merges have a lower priority than everything else in the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from apimetry.store.embedded.yielding import NICE

# A priority that was lowered stays: the threads are those of a process of its own.
SCRIPT = """
import asyncio, contextlib, json, os, sys
from pathlib import Path
from apimetry.cli.opening import open_store, store_of
from apimetry.cli.settings import Settings
from apimetry.store.embedded.yielding import lower_priority_of_merges

os.nice(3)
settings = Settings(data_dir=sys.argv[1])
store = store_of(settings)
asyncio.run(open_store(store, settings, asyncio.Event(), generate=False))
again = lower_priority_of_merges()
threads = []
for thread in Path("/proc/self/task").iterdir():
    # The engine ends idle threads at any time.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        threads.append(((thread / "comm").read_text().strip(), os.getpriority(os.PRIO_PROCESS, int(thread.name))))
print(json.dumps([again, os.getpriority(os.PRIO_PROCESS, 0), threads]))
store.close()
"""


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="threads have priorities of their own on Linux alone"
)
def test_merges_run_at_a_lower_priority_and_nothing_else_does(tmp_path: Path):
    ran = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True)
    again, own, threads = json.loads(ran.stdout)
    lowered = [name for name, priority in threads if priority == own + NICE]
    assert set(lowered) == {"MergeMutate", "Common"}
    assert len(lowered) == again
    # The engine raises the priority of a few threads itself.
    assert all(priority <= own for name, priority in threads if name not in lowered)
