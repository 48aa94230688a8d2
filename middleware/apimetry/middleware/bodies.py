"""Request bodies that say no length: they are counted as the application reads them."""

# ruff: noqa: ANN401  # whatever the server's stream takes and returns
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MORE_READERS: Final = ("read1", "readinto", "readinto1")
BODILESS_METHODS: Final = ("GET", "HEAD", "OPTIONS", "TRACE", "CONNECT")


def has_unknown_length(environ: Mapping[str, Any]) -> bool:
    """Tell whether a request of WSGI may have a body whose length its headers do not say.

    In HTTP/1 that takes a Transfer-Encoding (RFC 9112, 6.3); in HTTP/2 and 3 nothing needs to say that there is one.
    """
    if environ.get("CONTENT_LENGTH"):
        return False
    if "HTTP_TRANSFER_ENCODING" in environ:
        return True
    is_framed = str(environ.get("SERVER_PROTOCOL", "")).startswith(("HTTP/2", "HTTP/3"))
    return is_framed and environ.get("REQUEST_METHOD") not in BODILESS_METHODS


def count_input(environ: dict[str, Any]) -> CountedInput:
    """Put a counter in the place of an environ's input, and return it."""
    counter = environ["wsgi.input"] = CountedInput(environ)
    return counter


class CountedInput:
    """A WSGI input that counts what is read of it; everything else is the server's stream's."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._input: Any = environ["wsgi.input"]
        # Only then does an empty read mean the body's end, and not a server that cannot tell its length.
        self._is_terminated = bool(environ.get("wsgi.input_terminated"))
        self._count = 0
        self._is_at_end = False

    @property
    def known_bytes(self) -> int | None:
        """The bytes that were read; None where nothing was, and so nobody knows whether there was anything."""
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
