"""How many file descriptors the process may have, and how many of them the connections get.

A connection needs a descriptor. So does every open segment of the spool, and every part of the store that is read.
At the limit the kernel refuses the next descriptor, whatever it is for. So connections stay below the limit, and the
rest is for the disk.
"""

from __future__ import annotations

import resource
from typing import Final

# The disk's part of the limit: this share, and this number at most. A busy spool and an embedded store have no more
# files open at once.
DISK_SHARE: Final = 0.5
MAX_FOR_DISK: Final = 4096
# An idle connection takes about 30 kB of memory.
MAX_CONNECTIONS: Final = 4096


def raise_descriptor_limit() -> int:
    """Raise the process's soft limit on descriptors to its hard limit, and return the limit that holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (resource.RLIM_INFINITY, hard):
        return _finite(soft)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS reports "unlimited", but accepts no more than a limit that it does not report.
        return _finite(soft)
    return _finite(hard)


def connections_within(limit: int, listeners: int = 1) -> int:
    """Return how many connections one listener may have, in a process of `listeners` and `limit` descriptors."""
    for_connections = limit - min(int(limit * DISK_SHARE), MAX_FOR_DISK)
    return max(1, min(for_connections // listeners, MAX_CONNECTIONS))


def _finite(limit: int) -> int:
    return 2 * (MAX_FOR_DISK + MAX_CONNECTIONS) if limit == resource.RLIM_INFINITY else limit
