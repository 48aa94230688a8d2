"""What `apimetry serve` takes while nothing happens: processor time, wakeups, writes and memory.

python benchmarks/idle.py --seconds 120
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.services.processes import BOOTSTRAP, running

# The engine loads its tables, and the page is read for the first time.
SETTLED_AFTER_S = 40
TICKS_A_SECOND = 100


@dataclass(frozen=True)
class Taken:
    """What a process has taken so far."""

    cpu_s: float
    wakeups: int
    write_calls: int
    written_bytes: int


def taken(process: Path) -> Taken:
    """Return what the process of a folder of /proc has taken, all threads together."""
    ticks = (process / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
    wakeups = 0
    for thread in (process / "task").iterdir():
        match = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (thread / "status").read_text(), re.MULTILINE)
        wakeups += int(match[1]) if match else 0
    numbers = dict(line.split(": ") for line in (process / "io").read_text().splitlines())
    cpu_s = sum(map(int, ticks)) / TICKS_A_SECOND
    return Taken(cpu_s, wakeups, int(numbers["syscw"]), int(numbers["write_bytes"]))


def main() -> None:
    """Run `serve` with an empty store and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, running("serve", data_dir=Path(folder), **BOOTSTRAP) as serve:
        print(f"serve answers at {serve.query_url}")
        process = Path("/proc") / str(serve.process.pid)
        time.sleep(SETTLED_AFTER_S)
        before, began = taken(process), time.monotonic()
        time.sleep(seconds)
        after, passed_s = taken(process), time.monotonic() - began
        resident = re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())
    minutes = passed_s / 60
    print(f"processor    {100 * (after.cpu_s - before.cpu_s) / passed_s:.2f} % of a core")
    print(f"wakeups      {(after.wakeups - before.wakeups) / passed_s:.1f} a second")
    print(f"write calls  {(after.write_calls - before.write_calls) / minutes:.0f} a minute")
    print(f"written      {(after.written_bytes - before.written_bytes) / minutes / 1000:.0f} kB a minute")
    print(f"resident     {int(resident[1]) / 1024 if resident else 0:.0f} MiB")


if __name__ == "__main__":
    main()
