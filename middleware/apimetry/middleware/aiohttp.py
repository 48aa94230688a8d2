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

    Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Middleware: TypeAlias = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


def aiohttp_middleware(**options: Any) -> Middleware:  # noqa: ANN401  # checked by Options
    """Make a middleware that records one event for each request and each websocket connection.

    Options are those of `apimetry.middleware.options.Options`. Exceptions pass unchanged. The middleware's
    ``flush(timeout_s)`` sends what is buffered. Where a request passes several of these, the outermost records it.
    """
    recorder, names = Recorder(options), NameCache()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Past the request's __setitem__, which warns of keys that are strings; a clone of the request has it too.
        state = request._state  # noqa: SLF001  # see above
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

    middleware.flush = recorder.flush  # type: ignore[attr-defined]  # a function may carry its own
    middleware.recorder = recorder  # type: ignore[attr-defined]  # likewise
    return middleware


def _request_bytes(request: web.Request) -> int | None:
    """Return the length of a request's body: as announced, else as it came, or None while it has not ended."""
    if request.content_length is not None:
        return request.content_length
    if not request.body_exists:
        return 0
    content = request.content
    return content.total_bytes if content.is_eof() else None


def _length_of(response: web.Response) -> int | None:
    """Return the length of a body in memory; None where it is read from somewhere, as long as it gives."""
    if response.content_length is not None:
        return response.content_length
    body = response.body
    return len(body) if isinstance(body, (bytes, bytearray)) else None if body else 0


def _is_skipped(recorder: Recorder, request: web.Request) -> bool:
    path, match = request.path, request.match_info
    if recorder.skips(path):
        return True
    # The middleware of a sub-application: what its own routes see has no prefix.
    prefix = "" if len(match.apps) == 1 else _find_prefix(match.apps, match.current_app)
    return bool(prefix) and recorder.skips_under(prefix, path)


def _find_prefix(applications: tuple[web.Application, ...], current: web.Application) -> str:
    """Return what a sub-application is mounted under; a sub-application knows its whole prefix, its parents' too."""
    if current is not applications[0]:
        parent = applications[applications.index(current) - 1]
        for resource in parent.router.resources():
            info = resource.get_info()
            if info.get("app") is current:
                return info.get("prefix", "")
    return ""


class _Unanswered:
    """Waits for an answer from outside of us; goes away with the request where none comes, and records it then."""

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
        self._unanswered: _Unanswered | None = None  # while somebody around us may answer in our place
        self._started_ns = perf_counter_ns()
        self._watch_prepare()

    def answer(self, response: web.StreamResponse) -> None:
        """Record a response: one that streamed has ended here, one in memory is handed to the server."""
        try:
            if not (response.prepared or isinstance(response, web.Response)):
                self._follow(response)
                return
            self._measure(response)
        except Exception as error:  # noqa: BLE001  # an odd response never hurts the host
            self._recorder.report_fault("aiohttp", error)
        self.finish()

    def fail(self, error: BaseException) -> None:
        """Record a request whose handler raised; an HTTP exception is an answer."""
        if isinstance(error, web.HTTPException):
            self.answer(error)
            return
        is_cancelled = isinstance(error, asyncio.CancelledError)
        if (is_cancelled or isinstance(error, ConnectionResetError)) and self._is_client_gone():
            # Leaving is how a stream of events and a websocket end.
            self._status = self._status if self._is_connection else CLIENT_CLOSED
        else:
            self._status, self._error_type = 500, error_name(error)
            if self._ttfb_ns is None:
                # A middleware around us answers now, such as a timeout that has cancelled us, or aiohttp's own page.
                self._unanswered = _Unanswered(self.finish)
                return
        self.finish()

    def _answer_outside(self, response: web.StreamResponse) -> None:
        """Record what is answered in place of a handler that has raised."""
        self._unanswered.is_answered = True  # type: ignore[union-attr]  # its caller has looked
        self._unanswered = None
        self._response_bytes = None
        self._measure(response)
        # A cancellation is no error of the handler's, where somebody answers.
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
        except Exception as error:  # noqa: BLE001  # an odd request never hurts the host
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
                self._error_type,
                self._client_ip() if recorder.takes_client_ip else "",
                headers.get("User-Agent", "")[:MAX_STRING_CHARACTERS] if recorder.takes_user_agent else "",
                1,
                recorder.data(request, extra),
            )
        )

    def _client_ip(self) -> str | tuple[str, str, str]:
        peer = self._request.remote or ""
        if not self._recorder.takes_forwarded:
            return peer
        headers = self._request.headers
        said = (",".join(headers.getall(name, ())) for name in ("X-Forwarded-For", "Forwarded"))
        forwarded_for, forwarded = (value[-MAX_STRING_CHARACTERS:] for value in said)
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
        """Record a response that the server prepares: a file, whose status and size show while it is sent."""
        prepare = response.prepare
        # Where a middleware around us answers with something else, it is never prepared.
        unsent = weakref.finalize(response, self._finish_unsent, response.status)
        unsent.atexit = False

        async def preparing(request: web.BaseRequest) -> Any:  # noqa: ANN401  # aiohttp's writer
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
        """See the headers go out, which for a stream and a websocket is inside the handler."""
        prepare = self._request._prepare_hook  # noqa: SLF001  # there is no public hook for one request

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

        # Past the request's __setattr__, which warns of foreign attributes in debug mode.
        vars(self._request)["_prepare_hook"] = hook

    def _watch_writes(self, response: web.StreamResponse) -> None:
        """Count what a stream writes: aiohttp's own count includes headers and framing."""
        write = response.write

        async def counting_write(data: Any) -> None:  # noqa: ANN401  # any bytes-like object
            self._response_bytes = (self._response_bytes or 0) + len(data)
            await write(data)

        vars(response)["write"] = counting_write

    def _is_client_gone(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()
