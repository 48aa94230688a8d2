"""The lines of a log: plain or gzip, from a file or standard input, in constant memory."""

from __future__ import annotations

import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MAX_LINE_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
STDIN = "-"


class DamagedLog(Exception):
    """A log whose compression breaks off; the lines before are good."""


class Log:
    """An open log. `position` is how many bytes of the file were read."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        buffered = io.BufferedReader(_Counted(raw), 256 * 1024)
        self._counted = buffered.raw
        is_packed = buffered.peek(2)[:2] == _GZIP_MAGIC
        self._stream: io.BufferedIOBase = gzip.GzipFile(fileobj=buffered) if is_packed else buffered

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return self._counted.count

    def lines(self) -> Iterator[bytes]:
        """Yield each line without its end; of one that is too long, the beginning.

        Raises:
            DamagedLog: the compression breaks off.
        """
        try:
            while line := self._stream.readline(MAX_LINE_BYTES):
                rest = line
                while not rest.endswith(b"\n") and (rest := self._stream.readline(MAX_LINE_BYTES)):
                    pass
                yield line.rstrip(b"\r\n")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedLog(str(error)) from error


class _Counted(io.RawIOBase):
    """Counts what is read."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # a buffer is what it gets
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


@contextmanager
def open_log(name: str) -> Iterator[Log]:
    """Open a file by its name, or standard input as `-`; raises OSError."""
    if name == STDIN:
        yield Log(sys.stdin.buffer)
        return
    with Path(name).open("rb", buffering=0) as raw:
        yield Log(raw)


def size_of(names: tuple[str, ...]) -> int | None:
    """Return the bytes of all files together; None where standard input is among them."""
    return None if STDIN in names else sum(Path(name).stat().st_size for name in names)


def first_lines(lines: Iterator[bytes], count: int) -> tuple[list[bytes], Iterator[bytes]]:
    """Return the first lines, and all of them from the first on."""
    first = list(itertools.islice(lines, count))
    return first, itertools.chain(first, lines)
