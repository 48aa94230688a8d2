"""One client's connection: what of it reaches the HTTP parser, when it is cut, and what a request that is none gets.

aiohttp reads whatever comes: heads of a megabyte, thirty requests ahead of the one that it answers, each for as long
as a client likes; and it answers what it cannot read with the bytes in question. So here

- a head has MAX_HEAD_BYTES and a deadline, whether it is the first on its connection or a later one;
- one request is read at a time: what follows it waits, READ_BYTES at most, and is not read further meanwhile;
- the lines between the chunks of a body may not be longer than the body by more than MAX_FRAMING_BYTES and fivefold;
- a client that takes nothing of its answer for `stall_timeout_s` is cut;
- a request that cannot be read is answered in the one error shape and logged by its kind; no byte of it is in either;
- nobody is asked for a body (`Expect: 100-continue`) before a handler wants it: see `invite`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final, cast

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy

from apimetry.serving.connections import READ_BYTES, Connections
from apimetry.serving.errors import error_response
from apimetry.serving.repeats import RepeatedLine

logger = logging.getLogger(__name__)

# As nginx's four buffers of 8 KiB: keys, a long query string and a proxy's headers fit several times.
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


RequestFactory = Callable[..., web.BaseRequest]
"""Makes a request of what aiohttp's parser read: `web.Server.request_factory`."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection waits for its client, in seconds."""

    head_s: float
    """From a head's first byte to its end; for the first head, from the connection's begin."""
    keepalive_s: float
    """From an answer to the next head's first byte."""
    stall_s: float
    """For the client to take what was written to it."""


class Phase(Enum):
    """What is awaited: the end of a head, its request's begin, the end of its body, or its answer."""

    head = "head"
    begin = "begin"
    body = "body"
    answer = "answer"


def make_request(original: RequestFactory) -> RequestFactory:
    """Return a server's request factory that tells the connection of each request and puts its expectation aside."""

    def make(
        message: RawRequestMessage, payload: StreamReader, protocol: Connection, *rest: object
    ) -> web.BaseRequest:
        length = message.headers.get("Content-Length")
        expected = message.headers.get("Expect", "")
        if expected:
            # aiohttp would ask for the body before it looks for a handler.
            headers = CIMultiDict(message.headers)
            del headers["Expect"]
            message = message._replace(headers=CIMultiDictProxy(headers))
        protocol.request_begins(
            int(length) if length is not None else None, payload, expects=expected.lower() == "100-continue"
        )
        return original(message, payload, protocol, *rest)

    return make


def invite(request: web.Request) -> None:
    """Ask for the body of a request that waits to be asked (`Expect: 100-continue`). Authorize before calling it."""
    if isinstance(request.protocol, Connection):
        request.protocol.invite()


class Connection(RequestHandler, asyncio.BufferedProtocol):
    """aiohttp's protocol for one connection, fed one request at a time."""

    def __init__(
        self, server: web.Server, connections: Connections, timeouts: Timeouts, unreadable: RepeatedLine
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # None is what AppRunner passes for no log, too.
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=timeouts.keepalive_s,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            read_bufsize=READ_BYTES // 2,
            # A body is inflated by who wants it, after it is known who sent it, and within limits.
            auto_decompress=False,
        )
        self._connections = connections
        self._timeouts = timeouts
        self._unreadable = unreadable
        self._phase = Phase.head
        self._held = b""
        self._is_holding_back = False
        self._head_bytes = 0
        self._head_tail = b""
        self._payload: StreamReader | None = None
        self._body_left: int | None = None
        self._framing_bytes = 0
        self._is_answered = False
        self._is_broken = False
        self._is_unsure = False
        self._expects = False
        self._must_go = False
        # aiohttp's own reference to it ends when it closes, which may take long where the client reads nothing.
        self._wire: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._wire = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        self._begin_deadline()
        if self._must_go:
            self.give_way()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.BaseProtocol."""
        self._end_deadline()
        self._end_stall()
        self._held = b""
        self._connections.remove(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """See asyncio.BufferedProtocol."""
        return self._connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        self._held += bytes(self._connections.buffer[:nbytes])
        self._advance()

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        super().pause_writing()
        self._connections.stalls(self)
        self._stall = asyncio.get_running_loop().call_later(self._timeouts.stall_s, self.give_way)

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        super().resume_writing()
        self._connections.moves(self)
        self._end_stall()

    def give_way(self) -> None:
        """Cut the connection now."""
        self._must_go = True
        if self._wire is not None:
            self._wire.abort()

    def invite(self) -> None:
        """Ask for the body of the request under way, if its client waits to be asked."""
        if self._expects and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects = False

    def request_begins(self, length: int | None, payload: StreamReader, *, expects: bool) -> None:
        """A request, or what the parser made of something else, is about to be handled."""
        self._end_deadline()
        self._connections.works(self)
        self._head_bytes, self._head_tail = 0, b""
        self._payload, self._body_left, self._framing_bytes = payload, length, 0
        self._is_answered = self._is_unsure = False
        self._expects = expects
        self._phase = Phase.answer if payload.is_eof() else Phase.body
        self._advance()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """See RequestHandler: sends the answer."""
        sent = await super().finish_response(request, resp, start_time)
        self._is_answered = True
        self._connections.waits(self)
        if self._phase is Phase.answer:
            self._await_head()
        return sent

    def data_received(self, data: bytes) -> None:
        """Feed the parser; aiohttp calls it, too, to go on after a pause."""
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001 - whatever the parser raises, the request was not readable
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
        message: str | None = None,  # noqa: ARG002 - aiohttp's, which repeats the request
    ) -> web.StreamResponse:
        """See RequestHandler: answer what no handler answered. Its own answer would repeat the request's bytes."""
        if request.writer.output_size > 0 or self._is_broken:
            raise ConnectionError("the request has its answer already")
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
        """See RequestHandler: a body that stops being readable while it is thrown away is no defect."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            self._unreadable.say("body")
        else:
            super().log_exception(*args, **kw)

    def _advance(self) -> None:
        """Feed the parser with what may be fed now."""
        while self._held and self._phase in (Phase.head, Phase.body) and not self._must_go:
            if self._phase is Phase.head:
                self._feed_head()
            else:
                self._feed_body()
        self._hold_back()

    def _hold_back(self) -> None:
        """Read no further while there is something that cannot be fed yet."""
        if self._wire is None:
            return
        if self._held:
            # Again each time: aiohttp goes on reading when the body that it paused for is gone.
            self._is_holding_back = True
            self._wire.pause_reading()
        elif self._is_holding_back:
            self._is_holding_back = False
            if not self._reading_paused:
                self._wire.resume_reading()

    def _feed_head(self) -> None:
        data, self._held = self._held, b""
        self._begin_deadline()
        if not self._head_bytes:
            # RFC 9112, section 2.2: empty lines before a request are ignored.
            data = data.lstrip(b"\r\n")
        seen = self._head_tail + data
        end = seen.find(_END_OF_HEAD)
        if end >= 0:
            cut = end + len(_END_OF_HEAD) - len(self._head_tail)
            data, self._held = data[:cut], data[cut:]
            self._phase = Phase.begin
        self._head_tail = seen[-3:]
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._unreadable.say("head over the limit")
            self._refuse(431, _TOO_LONG)
        elif data:
            self.data_received(data)

    def _feed_body(self) -> None:
        cut = len(self._held) if self._body_left is None else self._body_left
        data, self._held = self._held[:cut], self._held[cut:]
        if self._body_left is None:
            self._framing_bytes += len(data)
            # What follows the last chunk is in the parser, then; a body's end has an empty line.
            self._head_tail = (self._head_tail + data)[-len(_END_OF_HEAD) :]
            self._is_unsure = self._head_tail != _END_OF_HEAD
        else:
            self._body_left -= len(data)
        self.data_received(data)

    def _check_body(self) -> None:
        payload = cast(StreamReader, self._payload)
        if payload.is_eof():
            self._phase = Phase.answer
            if self._is_answered:
                self._await_head()
            return
        allowed = MAX_FRAMING_BYTES + (1 + MAX_FRAMING_RATIO) * payload.total_bytes
        if self._messages or self._framing_bytes > allowed:
            # No other request can be there before this one's end: the parser met what is no body.
            self._break_body(payload)

    def _break_body(self, payload: StreamReader) -> None:
        if not self._is_broken:
            self._is_broken = True
            self._unreadable.say("body")
            if not self._is_answered:
                payload.set_exception(web.RequestPayloadError("the body is not readable"))
            payload.feed_eof()
            self._phase, self._held = Phase.answer, b""
            self.close()

    def _await_head(self) -> None:
        self._phase = Phase.head
        if self._is_unsure:
            self._head_bytes, self._head_tail = len(self._head_tail), self._head_tail[-3:]
            self._begin_deadline()
        else:
            self._head_bytes, self._head_tail = 0, b""
        self._advance()

    def _refuse(self, status: int, message: str) -> None:
        """Answer a head that the parser did not get to read, or not survive, and end the connection."""
        self._end_deadline()
        self._held = b""
        if self._wire is not None and not self._must_go:
            self._must_go = True
            body = cast(bytes, error_response(status, message).body)
            self._wire.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
                % (status, HTTPStatus(status).phrase.encode(), len(body), body)
            )
        self.force_close()

    def _begin_deadline(self) -> None:
        if self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._timeouts.head_s, self.give_way)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
