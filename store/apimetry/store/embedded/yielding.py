"""Let the embedded engine's merges yield the processor to queries and inserts.

The engine merges parts in threads of its own, which do nothing else. With a lower priority in the operating system
(a higher *nice* value) they run when a core is free, and have about a tenth of a core's time when none is. So merges
go on under load, more slowly.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

NICE: Final = 10
"""How much nicer merges are than the rest of the process."""

_NICEST: Final = 19
_THREADS: Final = Path("/proc/self/task")
# The names of the engine's threads: merges and mutations, and the removal of old parts.
_BACKGROUND: Final = ("MergeMutate", "Common")


def lower_priority_of_merges() -> int:
    """Lower the priority of this process's threads that merge, and return their number; 0 where there is no Linux.

    Call it when a table exists: the engine starts these threads with its first table. Repeating it changes nothing.
    """
    if not _THREADS.is_dir():
        return 0
    # A priority may be lowered by any user. To raise it takes a privilege.
    target = min(os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICE, _NICEST)
    lowered = 0
    for thread in _THREADS.iterdir():
        # A thread of another kind may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if (thread / "comm").read_text().strip() in _BACKGROUND:
                os.setpriority(os.PRIO_PROCESS, int(thread.name), target)
                lowered += 1
    return lowered
