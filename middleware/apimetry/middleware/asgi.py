"""ASGI: FastAPI, Starlette, and anything else. ``app.add_middleware(ASGIMiddleware)`` or ``ASGIMiddleware(app)``."""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from apimetry.middleware.errors import error_name, is_cancellation
from apimetry.middleware.lifespan import FlushAtShutdown, flush_before_end
from apimetry.middleware.listeners import listen_within
from apimetry.middleware.nesting import MARK, asgi_in_use, served, wsgi_in_use
from apimetry.middleware.outside import Follower, find_way_out
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routers import RouteLookup, RouterSearch, ask_routers
from apimetry.middleware.routes import UNKNOWN_NAMES, UNMATCHED_NAMES, NameCache, asgi_names, join_names
from apimetry.middleware.scopes import find_header, may_have_body, message_bytes, read_details

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import TypeAlias

    from apimetry.middleware.routers import Routers
    from apimetry.middleware.routes import Names

    Message: TypeAlias = MutableMapping[str, Any]
    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ASGIMiddleware:
    """Record one event per HTTP request and per websocket connection.

    Options are those of `apimetry.middleware.options.Options`. Exceptions pass unchanged. Buffered events are
    sent before the lifespan's shutdown completes. The outermost of several nested middlewares records the request.
    """

    def __init__(self, app: App, **options: Any) -> None:  # noqa: ANN401 - checked by Options
        self.app = app
        self.recorder = Recorder(options)
        self.names = NameCache()
        self._router_search = RouterSearch()
        asgi_in_use.add("asgi")
        listen_within(app)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is buffered; True when the collector took all of it within the timeout. Blocks."""
        return self.recorder.flush(timeout_s)

    def find_routers(self) -> Routers:
        """Return the routers of the application."""
        return self._router_search.find(self.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record it."""
        recorder, make_exchange = self.recorder, _RECORDED.get(scope["type"])
        if (
            make_exchange is None
            or MARK in scope
            or recorder.skips(scope["path"])
            or ((prefix := scope.get("root_path")) and recorder.skips_under(prefix, scope["path"]))
        ):
            if scope["type"] == "lifespan":
                send = FlushAtShutdown(recorder, send)
            await self.app(scope, receive, send)
            return
        exchange = make_exchange(self, scope, receive, send)
        if wsgi_in_use:
            served_before = served.get()
            served.set(exchange)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.fail(error)
            raise
        finally:
            if wsgi_in_use:
                served.set(served_before)
        if not exchange.is_recorded:
            exchange.finish()
        if recorder.host.is_stopping:
            await flush_before_end(recorder)


class _Exchange:
    """One HTTP request and its response. State of one task, but for a server that sends from another."""

    __slots__ = (
        "_is_client_gone",
        "_is_streamed",
        "_is_whole",
        "_middleware",
        "_receive",
        "_request_bytes",
        "_response_bytes",
        "_response_ns",
        "_scope",
        "_send",
        "_start",
        "_started_ns",
        "_status",
        "_ttfb_ns",
        "handled_error",
        "inner_names",
        "is_recorded",
        "path",
    )

    def __init__(self, middleware: ASGIMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._middleware = middleware
        self._scope = scope
        self.path: str = scope["path"]  # read now: some frameworks change it
        self._receive = receive
        self._send = send
        self._status = self._response_bytes = 0
        self._request_bytes: int | None = None  # until the application has read some of it
        self._ttfb_ns: int | None = None
        self._response_ns: int | None = None  # once the server has taken the last body part
        self._start: Message | None = None
        self._is_whole = False  # once the last body part is handed over
        self._is_client_gone = self.is_recorded = self._is_streamed = False
        self.handled_error = ""
        self.inner_names: Names | None = None
        scope[MARK] = self  # a cycle, which `_record` ends
        self._started_ns = perf_counter_ns()

    async def receive(self) -> Message:
        """Count the request's body and notice a client that leaves."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._request_bytes = (self._request_bytes or 0) + len(message.get("body") or b"")
        elif not self._is_whole:
            self._is_client_gone = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Time the response's start and end, and count its body."""
        kind = message["type"]
        if kind == "http.response.start":
            self._start = message
            self._status = message["status"]
            self._ttfb_ns = perf_counter_ns() - self._started_ns
        elif kind == "http.response.body":
            body = message.get("body")
            if body:
                self._response_bytes += len(body)
            if message.get("more_body"):
                self._is_streamed = True
                return self._send_part(message)
            return self._send_last(message)
        elif kind == "http.response.pathsend":
            return self._send_last(message)
        return self._send(message)

    async def _send_part(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._is_client_gone = True
            raise

    async def _send_last(self, message: Message) -> None:
        self._is_whole = True
        try:
            await self._send(message)
        except OSError:
            self._is_client_gone = True
            raise
        if self._response_ns is None:
            self._response_ns = perf_counter_ns() - self._started_ns
            if self._status < 500 or self.handled_error:
                self._record()  # now: a background task is no part of the response
            # else: the exception behind a 5xx may still arrive

    def fail(self, error: BaseException) -> None:
        """Record a request whose application raised, or follow an outer layer that may still answer it."""
        error_type, is_cancelled = error_name(error), is_cancellation(error)
        if self._response_ns is None:
            if self._start is None and not self._is_client_gone and self._follow(error_type, is_cancelled):
                return
            if is_cancelled and not self._is_whole:
                self._is_client_gone = True
            if is_cancelled or self._is_client_gone:
                error_type = ""
            else:
                self._status = 500
        self.finish(error_type)

    def _follow(self, error_type: str, is_cancelled: bool) -> bool:
        """Follow the response that an outer layer sends; False if there is no such layer."""
        way_out = find_way_out()
        if way_out is None:
            return False
        self.handled_error = "" if is_cancelled else error_type
        self._send = way_out.cell_contents
        failed_ns = perf_counter_ns() - self._started_ns
        way_out.cell_contents = Follower(self._send_outside, partial(self._give_up, failed_ns, is_cancelled))
        return True

    async def _send_outside(self, message: Message) -> None:
        await self.send(message)
        if self._is_whole and not self.is_recorded:
            self.finish()

    def _give_up(self, failed_ns: int, is_cancelled: bool) -> None:
        """Record a request that no outer layer answered completely."""
        if not self.is_recorded:
            is_closed = self._is_client_gone or (is_cancelled and self._start is None)
            self._status = CLIENT_CLOSED if is_closed else 500
            self._response_ns = failed_ns
            self._record()

    def finish(self, error_type: str = "") -> None:
        """Record a request whose application returned or raised, unless its last body part was recorded."""
        if self.is_recorded:
            return
        if self._response_ns is None:
            self._response_ns = perf_counter_ns() - self._started_ns
            if self._is_client_gone and not self._is_event_stream():
                self._status = CLIENT_CLOSED
            elif not self._is_client_gone and not self._is_whole:
                self._status = 500  # the server answers so, or cuts the response off
        self._record(error_type)

    def _record(self, error_type: str = "") -> None:
        self.is_recorded = True
        middleware, scope = self._middleware, self._scope
        recorder = middleware.recorder
        try:
            scope.pop(MARK, None)
            method = scope.get("method", "GET")
            consumer: str | bytes
            consumer, traceparent, consumer_header = b"", b"", recorder.consumer_header_bytes
            for name, value in scope.get("headers") or ():
                if name == b"traceparent":
                    traceparent = traceparent or value
                if name == consumer_header and name:  # empty: no header identifies the consumer
                    consumer = consumer or value
            response_ns, extra, details = self._response_ns or 0, None, None
            if self._is_streamed and self._ttfb_ns is not None and self._is_event_stream():
                # The time that a stream stays open is no response time.
                response_ns, extra = self._ttfb_ns, {"connection_us": str(response_ns // 1000)}
            names = asgi_names(middleware.names, scope)
            if names is UNKNOWN_NAMES or self.inner_names is not None:
                names = self._find_inner_names(names, method)
            if self._status >= 500:
                error_type = error_type or self.handled_error
            if recorder.takes_more or error_type or extra:
                consumer = recorder.consumer(scope) if recorder.calls_consumer else consumer
                details = read_details(scope, recorder, error_type, extra)
            recorder.record(
                (
                    self._started_ns,
                    method,
                    self.path,
                    scope.get("query_string", b""),
                    names,
                    self._status,
                    response_ns,
                    self._ttfb_ns,
                    self._request_bytes or 0 if method == "GET" else self._body_bytes(method),
                    self._response_bytes,
                    consumer,
                    traceparent,
                    1,
                    details,
                )
            )
        except Exception as error:  # noqa: BLE001 - a malformed scope never hurts the host
            recorder.report_fault("asgi", error)

    def _find_inner_names(self, names: Names, method: str) -> Names:
        """Return the names with those that an inner middleware shares, or by the application's routers."""
        if self.inner_names is None:
            return self._ask_names(method)
        return self.inner_names if names is UNKNOWN_NAMES else join_names(names, self.inner_names)

    def _ask_names(self, method: str) -> Names:
        """Return the names of a request, by the application's routers: no router left a trace in the scope."""
        routers = self._middleware.find_routers()
        if not routers:
            return UNMATCHED_NAMES
        scope = self._scope
        prefix: str = scope.get("app_root_path", scope.get("root_path")) or ""
        is_websocket = scope["type"] == "websocket"
        return ask_routers(routers, RouteLookup(self.path, method, prefix, is_websocket, scope.get("headers", ())))

    def _body_bytes(self, method: str) -> int | str | None:
        """Return the length of the request's body: the announced one, or the bytes read; None if both are unknown."""
        length = find_header(self._scope, b"content-length")
        if length.isdigit():
            return length.decode("latin-1")
        if self._request_bytes is not None:
            return self._request_bytes
        return None if may_have_body(self._scope, method) else 0

    def _is_event_stream(self) -> bool:
        for name, value in (self._start or {}).get("headers") or ():
            if name.lower() == b"content-type":
                return bool(value.startswith(b"text/event-stream"))
        return False


class _Socket(_Exchange):
    """One websocket connection: its response is the accept, its bytes are the messages of both directions."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Count the client's messages and notice when it leaves."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._request_bytes = (self._request_bytes or 0) + message_bytes(message)
        elif message["type"] == "websocket.disconnect":
            self._is_client_gone = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Time the accept or the refusal, and count the application's messages."""
        kind = message["type"]
        if kind == "websocket.send":
            self._response_bytes += message_bytes(message)
        elif kind == "websocket.http.response.body":
            self._response_bytes += len(message.get("body") or b"")
        elif self._ttfb_ns is None:
            self._ttfb_ns = perf_counter_ns() - self._started_ns
            # A close before the accept is a refusal, which servers answer with 403.
            self._status = 101 if kind == "websocket.accept" else message.get("status", 403)
        return self._send(message)

    def fail(self, error: BaseException) -> None:
        """Record a connection whose application raised; a client that left is no failure."""
        if self._is_client_gone or is_cancellation(error):
            self.finish()
        else:
            self._status = 500
            self.finish(error_name(error))

    def finish(self, error_type: str = "") -> None:
        """Record a connection that has ended."""
        if self.is_recorded:
            return
        if self._status == 0:
            self._status = CLIENT_CLOSED if self._is_client_gone else 500
        self._is_streamed = True
        self._response_ns = perf_counter_ns() - self._started_ns
        self._record(error_type)

    def _is_event_stream(self) -> bool:
        return True


_RECORDED: Final = {"http": _Exchange, "websocket": _Socket}
