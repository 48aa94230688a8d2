"""aiohttp's server: ``web.Application(middlewares=[aiohttp_middleware()])``, first in the list."""

from __future__ import annotations

import asyncio
import weakref
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from aiohttp import web

from apimetry.middleware.errors import error_name
from apimetry.middleware.event import MAX_STRING_CHARACTERS
from apimetry.middleware.nesting import MARK
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routes import NameCache, aiohttp_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from apimetry.middleware.event import Details

    Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Middleware: TypeAlias = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


def aiohttp_middleware(**options: Any) -> Middleware:  # noqa: ANN401 - checked by Options
    """Make a middleware that records one event per request and per websocket connection.

    Options are those of `apimetry.middleware.options.Options`. Exceptions pass unchanged. The middleware's
    ``flush(timeout_s)`` sends what is buffered. The outermost of several nested
    middlewares records the request.
    """
    recorder, names = Recorder(options), NameCache()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A clone of the request has the same state.
        state = request._state  # noqa: SLF001 - the request's __setitem__ warns of keys that are strings
        if MARK in state or _is_skipped(recorder, request):
            return await handler(request)
        state[MARK] = True
        exchange = _Exchange(recorder, names, request)
        try:
            response = await handler(request)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.answer(response)
        return response

    middleware.flush = recorder.flush  # type: ignore[attr-defined]  # functions take attributes
    middleware.recorder = recorder  # type: ignore[attr-defined]  # likewise
    return middleware


def _request_bytes(request: web.Request) -> int | None:
    """Return the length of a request's body: the announced one, or the bytes received; None until the body ends."""
    if request.content_length is not None:
        return request.content_length
    if not request.body_exists:
        return 0
    content = request.content
    return content.total_bytes if content.is_eof() else None


def _length_of(response: web.Response) -> int | None:
    """Return the length of a body in memory; None for a body that is read from a source of unknown length."""
    if response.content_length is not None:
        return response.content_length
    body = response.body
    return len(body) if isinstance(body, (bytes, bytearray)) else None if body else 0


def _is_skipped(recorder: Recorder, request: web.Request) -> bool:
    path, match = request.path, request.match_info
    if recorder.skips(path):
        return True
    # The middleware may belong to a sub-application, whose own routes have no prefix.
    prefix = "" if len(match.apps) == 1 else _find_prefix(match.apps, match.current_app)
    return bool(prefix) and recorder.skips_under(prefix, path)


def _find_prefix(applications: tuple[web.Application, ...], current: web.Application) -> str:
    """Return the whole prefix of a sub-application, with its parents' prefixes."""
    if current is not applications[0]:
        parent = applications[applications.index(current) - 1]
        for resource in parent.router.resources():
            info = resource.get_info()
            if info.get("app") is current:
                return info.get("prefix", "")
    return ""


class _Unanswered:
    """Wait for the response of an outer layer; without one, record the request when the request is freed."""

    __slots__ = ("_finish", "is_answered")

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish
        self.is_answered = False

    def __del__(self) -> None:
        if not self.is_answered:
            self._finish()


class _Exchange:
    """One request and its response."""

    __slots__ = (
        "_error_type",
        "_is_connection",
        "_names",
        "_recorder",
        "_request",
        "_response_bytes",
        "_started_ns",
        "_status",
        "_ttfb_ns",
        "_unanswered",
    )

    def __init__(self, recorder: Recorder, names: NameCache, request: web.Request) -> None:
        self._recorder = recorder
        self._names = names
        self._request = request
        self._status = 0
        self._response_bytes: int | None = 0
        self._ttfb_ns: int | None = None
        self._error_type = ""
        self._is_connection = False
        self._unanswered: _Unanswered | None = None  # set while an outer layer may answer
        self._started_ns = perf_counter_ns()
        self._watch_prepare()

    def answer(self, response: web.StreamResponse) -> None:
        """Record a response: a streamed one has ended by now, one in memory goes to the server next."""
        try:
            if not (response.prepared or isinstance(response, web.Response)):
                self._follow(response)
                return
            self._measure(response)
        except Exception as error:  # noqa: BLE001 - an unusual response never hurts the host
            self._recorder.report_fault("aiohttp", error)
        self.finish()

    def fail(self, error: BaseException) -> None:
        """Record a request whose handler raised; an HTTP exception is a response."""
        if isinstance(error, web.HTTPException):
            self.answer(error)
            return
        is_cancelled = isinstance(error, asyncio.CancelledError)
        if (is_cancelled or isinstance(error, ConnectionResetError)) and self._is_client_gone():
            # A client ends a stream of events or a websocket by leaving.
            self._status = self._status if self._is_connection else CLIENT_CLOSED
        else:
            self._status, self._error_type = 500, error_name(error)
            if self._ttfb_ns is None:
                # An outer middleware answers now, such as a timeout that cancelled the handler; or aiohttp itself.
                self._unanswered = _Unanswered(self.finish)
                return
        self.finish()

    def _answer_outside(self, response: web.StreamResponse) -> None:
        """Record the response of an outer layer, after the handler raised."""
        self._unanswered.is_answered = True  # type: ignore[union-attr]  # the caller checked it
        self._unanswered = None
        self._response_bytes = None
        self._measure(response)
        # A cancellation is no error of the handler if an outer layer answers.
        if self._status < 500 or self._error_type == "CancelledError":
            self._error_type = ""
        self.finish()

    def finish(self) -> None:
        """Record the request."""
        response_ns = perf_counter_ns() - self._started_ns
        if self._ttfb_ns is None:
            self._ttfb_ns = response_ns
        try:
            if self._is_connection:
                self._record_event(self._ttfb_ns, {"connection_us": str(response_ns // 1000)})
            else:
                self._record_event(response_ns, None)
        except Exception as error:  # noqa: BLE001 - an unusual request never hurts the host
            self._recorder.report_fault("aiohttp", error)

    def _record_event(self, response_ns: int, extra: dict[str, str] | None) -> None:
        request, recorder = self._request, self._recorder
        headers, method = request.headers, request.method
        recorder.record(
            (
                self._started_ns,
                method,
                request.path,
                request.query_string,
                aiohttp_names(self._names, request.match_info),
                self._status,
                response_ns,
                self._ttfb_ns,
                _request_bytes(request),
                0 if method == "HEAD" else self._response_bytes,
                self._consumer(),
                headers.get("traceparent", ""),
                1,
                self._details(extra) if recorder.takes_more or extra or self._error_type else None,
            )
        )

    def _details(self, extra: dict[str, str] | None) -> Details:
        """Return what few events have; `extra` is the adapter's own data."""
        recorder = self._recorder
        agent = self._request.headers.get("User-Agent", "") if recorder.takes_user_agent else ""
        client = self._client_ip() if recorder.takes_client_ip else ""
        return self._error_type, client, agent[:MAX_STRING_CHARACTERS], recorder.data(self._request, extra)

    def _client_ip(self) -> str | tuple[str, str, str]:
        peer = self._request.remote or ""
        if not self._recorder.takes_forwarded:
            return peer
        headers = self._request.headers
        values = (",".join(headers.getall(name, ())) for name in ("X-Forwarded-For", "Forwarded"))
        forwarded_for, forwarded = (value[-MAX_STRING_CHARACTERS:] for value in values)
        return peer, forwarded_for, forwarded

    def _consumer(self) -> str | bytes:
        recorder = self._recorder
        if recorder.calls_consumer:
            return recorder.consumer(self._request)
        name = recorder.consumer_header
        return self._request.headers.get(name, "").encode("utf-8", "replace") if name else ""

    def _measure(self, response: web.StreamResponse) -> None:
        self._status = response.status
        if isinstance(response, web.Response):
            self._response_bytes = _length_of(response)
        elif response.status == 101:
            self._response_bytes = None  # a websocket's frames

    def _follow(self, response: web.StreamResponse) -> None:
        """Record a response that the server prepares later: a file has its status and size only then."""
        prepare = response.prepare
        # It is never prepared if an outer middleware answers with another response.
        unsent = weakref.finalize(response, self._finish_unsent, response.status)
        unsent.atexit = False

        async def preparing(request: web.BaseRequest) -> Any:  # noqa: ANN401 - the writer of aiohttp
            unsent.detach()
            try:
                writer = await prepare(request)
            except BaseException as error:
                self.fail(error)
                raise
            self._status = response.status
            is_empty = response.status in (204, 304) or response.status >= 400
            length = response.content_length
            self._response_bytes = 0 if is_empty and length is None else length
            self.finish()
            return writer

        vars(response)["prepare"] = preparing

    def _finish_unsent(self, status: int) -> None:
        self._status, self._response_bytes = status, None
        self.finish()

    def _watch_prepare(self) -> None:
        """Notice when the headers are sent; a stream and a websocket send them inside the handler."""
        prepare = self._request._prepare_hook  # noqa: SLF001 - no public hook serves one request

        async def hook(response: web.StreamResponse) -> None:
            await prepare(response)
            if self._ttfb_ns is None:
                self._ttfb_ns = perf_counter_ns() - self._started_ns
                self._status = response.status
                self._is_connection = response.status == 101 or response.content_type == "text/event-stream"
                if self._unanswered is None:
                    self._watch_writes(response)
                else:
                    self._answer_outside(response)

        # `vars`, as the request's __setattr__ warns of foreign attributes in debug mode.
        vars(self._request)["_prepare_hook"] = hook

    def _watch_writes(self, response: web.StreamResponse) -> None:
        """Count the bytes that a stream writes: aiohttp's own count includes headers and framing."""
        write = response.write

        async def counting_write(data: Any) -> None:  # noqa: ANN401 - any bytes-like object
            self._response_bytes = (self._response_bytes or 0) + len(data)
            await write(data)

        vars(response)["write"] = counting_write

    def _is_client_gone(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()
