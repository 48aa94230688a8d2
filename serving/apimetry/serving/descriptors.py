"""How many descriptors the process may have, and how many of them connections get.

Every connection is a descriptor, and so is every segment of the spool and every part of the store that is read. The
kernel refuses whoever comes last, so connections are kept below the limit and the rest is for the disk.
"""

from __future__ import annotations

import resource
from typing import Final

# Of the limit, but no more than this: what a busy spool and an embedded store have open at once.
KEPT_SHARE: Final = 0.5
KEPT_AT_MOST: Final = 4096
# What an idle connection takes is memory: about 30 kB.
MAX_CONNECTIONS: Final = 4096


def raise_descriptor_limit() -> int:
    """Raise the process's limit on descriptors to the hard one, and return what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (resource.RLIM_INFINITY, hard):
        return _finite(soft)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS says "unlimited" and takes no more than a limit of its own, which it does not name.
        return _finite(soft)
    return _finite(hard)


def connections_within(limit: int, listeners: int = 1) -> int:
    """Return how many connections each of the process's `listeners` may have, of `limit` descriptors in all."""
    for_connections = limit - min(int(limit * KEPT_SHARE), KEPT_AT_MOST)
    return max(1, min(for_connections // listeners, MAX_CONNECTIONS))


def _finite(limit: int) -> int:
    return 2 * (KEPT_AT_MOST + MAX_CONNECTIONS) if limit == resource.RLIM_INFINITY else limit
