"""Inflate compressed bodies piece by piece and never past a limit; consecutive members or frames are one body."""

from __future__ import annotations

import sys
import zlib
from typing import Protocol

from apimetry.collector.errors import DecodeError

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

PIECE_BYTES = 64 * 1024
ENCODINGS = ("gzip", "zstd")
MAX_MEMBERS = 1000
"""In one body. An empty member costs the sender a few bytes, and the collector a decompressor."""
# For zlib: a deflate stream with gzip's header and trailer (RFC 1952).
GZIP_WINDOW_BITS = 31


class Decompressor(Protocol):
    """Decompresses one gzip member or zstd frame."""

    @property
    def eof(self) -> bool:
        """Return whether the end of the member was read."""

    @property
    def unused_data(self) -> bytes:
        """Return the input behind the end of the member."""

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """Return at most `limit` bytes; call again with b"" for more."""

    @property
    def pending(self) -> bool:
        """Return whether `decompress` has more output without more input."""


class GzipMember:
    """zlib's decompressor with the interface of zstd's decompressor."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(GZIP_WINDOW_BITS)
        self._full = False

    @property
    def eof(self) -> bool:
        """See Decompressor."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """See Decompressor."""
        return self._inner.unused_data

    @property
    def pending(self) -> bool:
        """See Decompressor."""
        return not self._inner.eof and (self._full or bool(self._inner.unconsumed_tail))

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """See Decompressor."""
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, limit)
        self._full = len(piece) == limit
        return piece


class ZstdFrame:
    """One zstd frame. Its window is bounded: without a bound, the frame decides how much memory it takes."""

    MAX_WINDOW_LOG = 23

    def __init__(self) -> None:
        self._inner = ZstdDecompressor(options={DecompressionParameter.window_log_max: self.MAX_WINDOW_LOG})

    @property
    def eof(self) -> bool:
        """See Decompressor."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """See Decompressor."""
        return self._inner.unused_data

    @property
    def pending(self) -> bool:
        """See Decompressor."""
        return not self._inner.eof and not self._inner.needs_input

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        """See Decompressor."""
        return self._inner.decompress(data, limit)


class Inflater:
    """Inflates the members of one body, one after another; `piece` returns at most 64 KiB."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._new: type[GzipMember] | type[ZstdFrame] = GzipMember if encoding == "gzip" else ZstdFrame
        self._member: Decompressor | None = None
        self._members = 0
        self._input = b""

    def feed(self, data: bytes) -> None:
        """Add input; then call `piece` until it returns b""."""
        self._input += data

    def piece(self) -> bytes:
        """Return the next inflated bytes, or b"" if more input is needed; raises DecodeError."""
        while self._input or (self._member is not None and self._member.pending):
            if self._member is None:
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise DecodeError(f"The {self._encoding} body has more than {MAX_MEMBERS} members or frames")
                self._member = self._new()
            data, self._input = self._input, b""
            try:
                piece = self._member.decompress(data, PIECE_BYTES)
            except (zlib.error, ZstdError) as error:
                raise DecodeError(f"The body is not valid {self._encoding}: {error}") from error
            if self._member.eof:
                self._input = self._member.unused_data
                self._member = None
            if piece:
                return piece
        return b""

    def finish(self) -> None:
        """Raise DecodeError if the input stopped inside a member."""
        if self._member is not None or self._input:
            raise DecodeError(f"The {self._encoding} body is truncated")
