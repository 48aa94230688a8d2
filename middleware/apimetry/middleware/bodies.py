"""Count request bodies of unknown length, as the application reads them."""

# ruff: noqa: ANN401 - the types of the server's stream
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MORE_READERS: Final = ("read1", "readinto", "readinto1")
BODILESS_METHODS: Final = ("GET", "HEAD", "OPTIONS", "TRACE", "CONNECT")


def has_unknown_length(environ: Mapping[str, Any]) -> bool:
    """Return whether a WSGI request may have a body without a length in its headers.

    HTTP/1 needs a Transfer-Encoding for that (RFC 9112, 6.3); HTTP/2 and 3 need no header for a body.
    """
    if environ.get("CONTENT_LENGTH"):
        return False
    if "HTTP_TRANSFER_ENCODING" in environ:
        return True
    is_framed = str(environ.get("SERVER_PROTOCOL", "")).startswith(("HTTP/2", "HTTP/3"))
    return is_framed and environ.get("REQUEST_METHOD") not in BODILESS_METHODS


def count_input(environ: dict[str, Any]) -> CountedInput:
    """Replace an environ's input by a counter, and return the counter."""
    counter = environ["wsgi.input"] = CountedInput(environ)
    return counter


class CountedInput:
    """Count the bytes that are read from a WSGI input; everything else goes to the server's stream."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._input: Any = environ["wsgi.input"]
        # An empty read is the body's end only for a terminated input.
        self._is_terminated = bool(environ.get("wsgi.input_terminated"))
        self._count = 0
        self._is_at_end = False

    @property
    def known_bytes(self) -> int | None:
        """Return the bytes that were read; None if nothing was read and the body's end was not seen."""
        return self._count if self._count or (self._is_at_end and self._is_terminated) else None

    def read(self, *size: Any) -> bytes:
        """Read as the server's stream does."""
        data: bytes = self._input.read(*size)
        return self._take(data)

    def readline(self, *size: Any) -> bytes:
        """Read a line as the server's stream does."""
        data: bytes = self._input.readline(*size)
        return self._take(data)

    def readlines(self, *hint: Any) -> list[bytes]:
        """Read lines as the server's stream does."""
        lines: list[bytes] = self._input.readlines(*hint)
        self._take(b"".join(lines))
        return lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._input:
            yield self._take(line)
        self._is_at_end = True

    def __next__(self) -> bytes:
        return self._take(next(self._input))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._input, name)
        if name not in _MORE_READERS:
            return value

        def counting(*arguments: Any) -> Any:
            answer = value(*arguments)
            self._count += answer if isinstance(answer, int) else len(answer or b"")
            self._is_at_end = self._is_at_end or not answer
            return answer

        return counting

    def _take(self, data: bytes) -> bytes:
        self._count += len(data)
        self._is_at_end = self._is_at_end or not data
        return data
