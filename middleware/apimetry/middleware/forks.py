"""A number that a forked process reads as 0, also where C code forked and Python was told nothing (uWSGI)."""

from __future__ import annotations

import mmap
import os
from typing import Final, Protocol

_MADV_WIPEONFORK: Final = 18
"""Linux 4.14, madvise(2): a child sees the page as zeroes. Python's mmap has no name for it."""


class Mark(Protocol):
    """One number under the index 0, until the process forks."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


def make_mark() -> Mark:
    """Make a number that is 0 in every child; reading it asks the system nothing where the kernel wipes pages."""
    try:
        # A third of what os.getpid costs, which is a system call.
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (OSError, ValueError, AttributeError):  # another system, or an old kernel
        return _PidMark()
    return memoryview(page).cast("l")


class _PidMark:
    """The same where only the process id tells."""

    __slots__ = ("_pid", "_value")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._value = 0

    def __getitem__(self, index: int) -> int:
        return self._value if os.getpid() == self._pid else 0

    def __setitem__(self, index: int, value: int) -> None:
        self._value = value
