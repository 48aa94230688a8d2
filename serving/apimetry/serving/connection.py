"""One client's connection: which bytes reach the HTTP parser, when a connection is cut, how a bad request is refused.

aiohttp alone reads without such limits: a head of a megabyte, thirty requests ahead of the answered one, each for as
long as the client likes. It also answers an unreadable request with the bytes of that request. So this module holds
these rules:

- Every head has MAX_HEAD_BYTES, MAX_HEADERS fields and a deadline: the first head of a connection, and each later
  one.
- One request is read at a time. The bytes that follow it wait: READ_BYTES at most, and no more is read meanwhile.
- The framing of a chunked body (the lines between its chunks) is bounded: MAX_FRAMING_BYTES, plus MAX_FRAMING_RATIO
  times the body.
- A client that takes no byte of its response for `Timeouts.stall_s` is cut.
- An unreadable request is answered in the one error shape and logged by its kind. The answer and the log repeat no
  byte of the request.
- No client is asked for a body (`Expect: 100-continue`) before a handler wants the body: see `expectations`.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from http import HTTPStatus
from typing import Final, cast

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from apimetry.serving.aiohttp_internals import check_aiohttp
from apimetry.serving.connections import READ_BYTES, Connections
from apimetry.serving.errors import error_response
from apimetry.serving.repeats import RepeatedLine
from apimetry.serving.timers import Timeouts, Timer

logger = logging.getLogger(__name__)

# nginx has the same limit: four buffers of 8 KiB. Keys, a long query string and a proxy's headers fit several times.
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_LINE_BYTES: Final = 8190
MAX_HEADERS: Final = 100
MAX_FRAMING_BYTES: Final = 16 * 1024
MAX_FRAMING_RATIO: Final = 5

_END_OF_HEAD: Final = b"\r\n\r\n"
_TOO_LONG: Final = (
    f"The head of the request is over a limit: {MAX_HEAD_BYTES} bytes in all, {MAX_LINE_BYTES} a line,"
    f" {MAX_HEADERS} fields"
)
_UNREADABLE: Final = "The request is not readable as HTTP"

check_aiohttp()


class Phase(Enum):
    """What the connection waits for: a head's end, the begin of its request, the body's end, or the response."""

    head = "head"
    begin = "begin"
    body = "body"
    response = "response"


class Connection(RequestHandler, asyncio.BufferedProtocol):
    """aiohttp's protocol for one connection, fed one request at a time."""

    def __init__(
        self, server: web.Server, connections: Connections, timeouts: Timeouts, unreadable: RepeatedLine
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # AppRunner, too, passes None for "no log".
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=timeouts.keepalive_s,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            read_bufsize=READ_BYTES // 2,
            # A handler inflates the body itself: after it has authorized the sender, and within limits.
            auto_decompress=False,
        )
        self._connections = connections
        self._unreadable = unreadable
        self._phase = Phase.head
        # Bytes that were read and not yet fed to the parser.
        self._unfed = b""
        self._is_reading_paused_here = False
        self._head_bytes = 0
        self._last_bytes = b""
        self._payload: StreamReader | None = None
        # None for a body without a Content-Length.
        self._body_bytes_left: int | None = None
        self._framing_bytes = 0
        self._is_answered = False
        self._is_broken = False
        self._is_next_head_begun = False
        self._expects_invitation = False
        self._is_cut = False
        # aiohttp drops its own reference as soon as it closes. The client may read nothing for long after that.
        self._wire: asyncio.Transport | None = None
        self._deadline = Timer(timeouts.head_s, self.give_way)
        self._stall = Timer(timeouts.stall_s, self.give_way)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._wire = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        self._deadline.begin()
        if self._is_cut:
            self.give_way()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.BaseProtocol."""
        self._deadline.end()
        self._stall.end()
        self._unfed = b""
        self._connections.remove(self)
        super().connection_lost(exc)
        if self._is_answered and self._payload is not None and not self._payload.is_eof():
            # aiohttp waits ten seconds for the rest of a body to discard, also after the client has left.
            self._payload.feed_eof()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """See asyncio.BufferedProtocol."""
        return self._connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        self._unfed += bytes(self._connections.buffer[:nbytes])
        self._advance()

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        super().pause_writing()
        self._connections.stalls(self)
        self._stall.begin()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        super().resume_writing()
        self._connections.moves(self)
        self._stall.end()

    @property
    def unsent_bytes(self) -> int:
        """Return how many bytes of its response wait for the client."""
        return self._wire.get_write_buffer_size() if self._wire is not None else 0

    def give_way(self) -> None:
        """Cut the connection now."""
        self._is_cut = True
        if self._wire is not None:
            self._wire.abort()

    def invite(self) -> None:
        """Ask for the body of the current request, if the client waits for that."""
        if self._expects_invitation and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_invitation = False

    def request_begins(self, length: int | None, payload: StreamReader, *, expects: bool) -> None:
        """Note that a request is about to be handled: a real one, or the parser's stand-in for an unreadable one.

        Args:
            length: the Content-Length in bytes; None without one.
            payload: where the parser puts the body.
            expects: whether the client waits for `invite`.
        """
        self._deadline.end()
        self._connections.works(self)
        self._head_bytes, self._last_bytes = 0, b""
        self._payload, self._body_bytes_left, self._framing_bytes = payload, length, 0
        self._is_answered = self._is_next_head_begun = False
        self._expects_invitation = expects
        self._phase = Phase.response if payload.is_eof() else Phase.body
        self._advance()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """See RequestHandler: send the response."""
        result = await super().finish_response(request, resp, start_time)
        self._is_answered = True
        self._connections.waits(self)
        if self._phase is Phase.response:
            self._await_head()
        return result

    def data_received(self, data: bytes) -> None:
        """Feed the parser. aiohttp calls this method, too, when it goes on after a pause."""
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - any error of the parser means an unreadable request
            self._unreadable.say(type(error).__name__)
            self._refuse(400, _UNREADABLE)
            return
        if self._phase is Phase.body:
            self._check_body()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text repeats the request
    ) -> web.StreamResponse:
        """See RequestHandler: respond where no handler did. aiohttp's response would repeat the request's bytes."""
        if request.writer.output_size > 0 or self._is_broken:
            raise ConnectionError("the request has its response already")
        if isinstance(exc, HttpProcessingError):
            self._unreadable.say(type(exc).__name__)
            is_long = isinstance(exc, LineTooLong) or "Too many headers" in exc.message
            response = error_response(431, _TOO_LONG) if is_long else error_response(400, _UNREADABLE)
        else:
            logger.error("unexpected error outside of the handlers", exc_info=exc)
            response = error_response(status, "Unexpected error; the service's log has the reason")
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """See RequestHandler: a body that turns unreadable while aiohttp discards it is no defect of the service."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            self._unreadable.say("body")
        else:
            super().log_exception(*args, **kw)

    def _advance(self) -> None:
        """Feed the parser with the bytes that the current phase allows."""
        while self._unfed and self._phase in (Phase.head, Phase.body) and not self._is_cut:
            if self._phase is Phase.head:
                self._feed_head()
            else:
                self._feed_body()
        self._pause_or_resume_reading()

    def _pause_or_resume_reading(self) -> None:
        """Read no further while bytes wait that cannot be fed yet."""
        if self._wire is None:
            return
        if self._unfed:
            # Pause at every call: aiohttp resumes reading once the body that it paused for is consumed.
            self._is_reading_paused_here = True
            self._wire.pause_reading()
        elif self._is_reading_paused_here:
            self._is_reading_paused_here = False
            if not self._reading_paused:
                self._wire.resume_reading()

    def _feed_head(self) -> None:
        data, self._unfed = self._unfed, b""
        self._deadline.begin()
        if not self._head_bytes:
            # RFC 9112, section 2.2: empty lines before a request are ignored.
            data = data.lstrip(b"\r\n")
        window = self._last_bytes + data
        end = window.find(_END_OF_HEAD)
        if end >= 0:
            cut = end + len(_END_OF_HEAD) - len(self._last_bytes)
            data, self._unfed = data[:cut], data[cut:]
            self._phase = Phase.begin
        self._last_bytes = window[-3:]
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._unreadable.say("head over the limit")
            self._refuse(431, _TOO_LONG)
        elif data:
            self.data_received(data)

    def _feed_body(self) -> None:
        cut = len(self._unfed) if self._body_bytes_left is None else self._body_bytes_left
        data, self._unfed = self._unfed[:cut], self._unfed[cut:]
        if self._body_bytes_left is None:
            self._framing_bytes += len(data)
            # A chunked body ends with an empty line. If these bytes end otherwise and the body is over, they hold the
            # begin of the next head, and the parser has it already.
            self._last_bytes = (self._last_bytes + data)[-len(_END_OF_HEAD) :]
            self._is_next_head_begun = self._last_bytes != _END_OF_HEAD
        else:
            self._body_bytes_left -= len(data)
        self.data_received(data)

    def _check_body(self) -> None:
        payload = cast(StreamReader, self._payload)
        if payload.is_eof():
            self._phase = Phase.response
            if self._is_answered:
                self._await_head()
            return
        allowed = MAX_FRAMING_BYTES + (1 + MAX_FRAMING_RATIO) * payload.total_bytes
        if self._messages or self._framing_bytes > allowed:
            # No further request can be parsed before this body ends: if there is one, the body was not readable.
            self._break_body(payload)

    def _break_body(self, payload: StreamReader) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._unreadable.say("body")
            if not self._is_answered:
                payload.set_exception(web.RequestPayloadError("the body is not readable"))
            payload.feed_eof()
            self._phase, self._unfed = Phase.response, b""
            self.close()

    def _await_head(self) -> None:
        self._phase = Phase.head
        if self._is_next_head_begun:
            self._head_bytes, self._last_bytes = len(self._last_bytes), self._last_bytes[-3:]
            self._deadline.begin()
        else:
            self._head_bytes, self._last_bytes = 0, b""
        self._advance()

    def _refuse(self, status: int, message: str) -> None:
        """Respond to a head that the parser was not given or could not read, and end the connection."""
        self._deadline.end()
        self._unfed = b""
        if self._wire is not None and not self._is_cut:
            self._is_cut = True
            body = cast(bytes, error_response(status, message).body)
            self._wire.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
                % (status, HTTPStatus(status).phrase.encode(), len(body), body)
            )
        self.force_close()
