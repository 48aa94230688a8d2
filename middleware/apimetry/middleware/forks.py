"""A number that a forked process reads as 0, also after a fork by C code that Python does not see (uWSGI)."""

from __future__ import annotations

import mmap
import os
from typing import Final, Protocol

_MADV_WIPEONFORK: Final = 18
"""Linux 4.14, madvise(2): a child reads the page as zeroes. Python's mmap has no name for the flag."""


class Mark(Protocol):
    """Hold one number under the index 0, until the process forks."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


def make_mark() -> Mark:
    """Make a number that is 0 in every child. Reading it takes no system call where the kernel wipes pages."""
    try:
        # Reading it costs a third of os.getpid, a system call.
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (OSError, ValueError, AttributeError):  # another system, or an old kernel
        return _PidMark()
    return memoryview(page).cast("l")


class _PidMark:
    """Do the same by the process id, with a system call per reading."""

    __slots__ = ("_pid", "_value")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._value = 0

    def __getitem__(self, index: int) -> int:
        return self._value if os.getpid() == self._pid else 0

    def __setitem__(self, index: int, value: int) -> None:
        self._value = value
