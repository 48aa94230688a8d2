"""Read the lines of a log, plain or gzip, from a file or standard input, in constant memory."""

from __future__ import annotations

import itertools
import os
import select
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_LINE_BYTES = 64 * 1024
STDIN = "-"
TICK_S = 1.0
"""How long standard input may be silent before `Log.lines` yields None."""
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
_CHUNK_BYTES = 64 * 1024
_MAX_INFLATED_BYTES = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DamagedLog(Exception):
    """The compressed data of a log is damaged; the lines before the damage are good."""


class Log:
    """An open log.

    Attributes:
        position: number of bytes that were read.
        written_s: when the file was last written, in seconds since the epoch; for a pipe, the time of opening.
        is_live: whether the log may grow while it is read, as a pipe does.
    """

    def __init__(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.position = 0
        self.is_live = not stat.S_ISREG(status.st_mode)
        self.written_s = time.time() if self.is_live else status.st_mtime
        self._descriptor = descriptor

    def lines(self) -> Iterator[bytes | None]:
        """Yield every line without its end; a line that is too long is cut to MAX_LINE_BYTES + 1 bytes.

        Yield None after TICK_S without data, so that the caller can handle the lines so far.

        Raises:
            DamagedLog: the compressed data is damaged.
        """
        rest = b""
        is_first = True
        for chunk in self._inflated():
            if chunk is None:
                yield None
                continue
            *whole, last = chunk.split(b"\n")
            for piece in whole:
                line = _cut(rest + piece)
                rest = b""
                yield (line.removeprefix(_BYTE_ORDER_MARK) if is_first else line).rstrip(b"\r")
                is_first = False
            rest = _cut(rest + last)
        if rest:
            yield rest.rstrip(b"\r")

    def _inflated(self) -> Iterator[bytes | None]:
        chunks = self._chunks()
        first = b""
        for chunk in chunks:
            if chunk is None:
                yield None
                continue
            first += chunk
            if len(first) >= len(_GZIP_MAGIC):
                break
        if not first.startswith(_GZIP_MAGIC):
            yield first
            yield from chunks
            return
        yield from _inflate(first, chunks)

    def _chunks(self) -> Iterator[bytes | None]:
        # `select` takes no descriptor above 1,023.
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        while True:
            if self.is_live and not waiting.poll(1000 * TICK_S):
                yield None
                continue
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
            if not chunk:
                return
            self.position += len(chunk)
            yield chunk


def _cut(line: bytes) -> bytes:
    return line if len(line) <= MAX_LINE_BYTES else line[: MAX_LINE_BYTES + 1]


def _inflate(first: bytes, chunks: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """Yield the content of a gzip file with any number of members, in pieces of bounded size."""
    member = None
    try:
        for chunk in itertools.chain((first,), chunks):
            packed = chunk
            while packed:
                if member is None:
                    # Zeros may pad the space between members.
                    packed = packed.lstrip(b"\0")
                    if not packed:
                        break
                    member = zlib.decompressobj(_GZIP_WINDOW)
                yield member.decompress(packed, _MAX_INFLATED_BYTES)
                packed = member.unused_data if member.eof else member.unconsumed_tail
                member = None if member.eof else member
            if chunk is None:
                yield None
        if member is not None:
            yield member.flush()
    except zlib.error as error:
        raise DamagedLog("its compressed data is damaged") from error
    if member is not None and not member.eof:
        raise DamagedLog("its compressed data ends too early")


@contextmanager
def open_log(name: str) -> Iterator[Log]:
    """Open a file by its name, or standard input as `-`; raise OSError."""
    if name == STDIN:
        yield Log(sys.stdin.fileno())
        return
    with Path(name).open("rb", buffering=0) as raw:
        yield Log(raw.fileno())


def size_of(names: tuple[str, ...]) -> int | None:
    """Return the total bytes of all files; None where one of them is standard input."""
    return None if STDIN in names else sum(Path(name).stat().st_size for name in names)
