"""ASGI: FastAPI, Starlette, and anything else. ``app.add_middleware(ASGIMiddleware)`` or ``ASGIMiddleware(app)``."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from apimetry.middleware.errors import error_name, is_cancellation
from apimetry.middleware.event import MAX_STRING_CHARACTERS
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routers import ask_router, find_router
from apimetry.middleware.routes import UNMATCHED_NAMES, NameCache, asgi_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping
    from typing import TypeAlias

    Message: TypeAlias = MutableMapping[str, Any]
    Scope: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class ASGIMiddleware:
    """Records one event for each HTTP request and each websocket connection.

    Options are those of `apimetry.middleware.options.Options`. Exceptions pass unchanged. Buffered events are
    sent before the lifespan's shutdown completes.
    """

    def __init__(self, app: App, **options: Any) -> None:  # noqa: ANN401  # checked by Options
        self.app = app
        self.recorder = Recorder(options)
        self.names = NameCache()
        self.router = find_router(app)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is buffered; True when the collector took all of it within the timeout. Blocks."""
        return self.recorder.flush(timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record it."""
        kind, recorder = scope["type"], self.recorder
        if kind not in _RECORDED or recorder.skips(scope["path"]) or _skips_under_prefix(recorder, scope):
            if kind == "lifespan":
                send = _FlushAtShutdown(recorder, send)
            await self.app(scope, receive, send)
            return
        exchange = _RECORDED[kind](self, scope, receive, send)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.fail(error)
            raise
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
        "_path",
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
        "is_recorded",
    )

    def __init__(self, middleware: ASGIMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._middleware = middleware
        self._scope = scope
        self._path: str = scope["path"]  # now: some frameworks move it on
        self._receive = receive
        self._send = send
        self._status = self._request_bytes = self._response_bytes = 0
        self._ttfb_ns: int | None = None
        self._response_ns: int | None = None  # once the server has taken the last body part
        self._start: Message | None = None
        self._is_whole = False  # once the last body part is handed over
        self._is_client_gone = self.is_recorded = self._is_streamed = False
        self._started_ns = perf_counter_ns()

    async def receive(self) -> Message:
        """Count the request's body and notice a client that leaves."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._request_bytes += len(message.get("body") or b"")
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
            if self._status < 500:
                self._record()  # now: a background task is no part of the response
            # else: the exception behind it may still come by

    def fail(self, error: BaseException) -> None:
        """Record a request whose application raised."""
        error_type = error_name(error)
        if self._response_ns is None:
            is_cancelled = is_cancellation(error)
            if is_cancelled and not self._is_whole:
                self._is_client_gone = True
            if is_cancelled or self._is_client_gone:
                error_type = ""
            else:
                self._status = 500
        self.finish(error_type)

    def finish(self, error_type: str = "") -> None:
        """Record a request whose application has returned or raised, unless its last body part did so already."""
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
            method = scope.get("method", "GET")
            consumer: str | bytes = b""
            if recorder.consumer_header_bytes:
                consumer = _find_header(scope["headers"], recorder.consumer_header_bytes)
            request_bytes = self._request_bytes if method == "GET" else self._content_length()
            response_ns, extra = self._response_ns or 0, None
            if self._is_streamed and self._ttfb_ns is not None and self._is_event_stream():
                # How long a stream stays open says nothing about how fast it answered.
                response_ns, extra = self._ttfb_ns, {"connection_us": str(response_ns // 1000)}
            names = asgi_names(middleware.names, scope)
            if names is UNMATCHED_NAMES and self._status != 404:
                is_websocket = scope["type"] == "websocket"
                names = ask_router(middleware.router, self._path, method, websocket=is_websocket)
            client_ip: str | tuple[str, str, str] = ""
            user_agent = ""
            if recorder.takes_more:
                if recorder.calls_consumer:
                    consumer = recorder.consumer(scope)
                extra = recorder.data(scope, extra)
                client_ip = self._client_ip() if recorder.takes_client_ip else ""
                user_agent = self._user_agent() if recorder.takes_user_agent else ""
            recorder.record(
                (
                    self._started_ns,
                    method,
                    self._path,
                    scope.get("query_string", b""),
                    names,
                    self._status,
                    response_ns,
                    self._ttfb_ns,
                    request_bytes,
                    self._response_bytes,
                    consumer,
                    error_type,
                    client_ip,
                    user_agent,
                    1,
                    extra,
                )
            )
        except Exception as error:  # noqa: BLE001  # a scope no server should make never hurts the host
            recorder.report_fault("asgi", error)

    def _content_length(self) -> int | str:
        length = _find_header(self._scope["headers"], b"content-length")
        return length.decode("latin-1") if length.isdigit() else self._request_bytes

    def _user_agent(self) -> str:
        agent = _find_header(self._scope["headers"], b"user-agent")
        return agent[:MAX_STRING_CHARACTERS].decode("latin-1")

    def _client_ip(self) -> str | tuple[str, str, str]:
        client = self._scope.get("client")
        peer: str = client[0] if client else ""
        if not self._middleware.recorder.takes_forwarded:
            return peer
        headers = self._scope["headers"]
        said = (b",".join(v for n, v in headers if n == name) for name in (b"x-forwarded-for", b"forwarded"))
        forwarded_for, forwarded = (value[-MAX_STRING_CHARACTERS:].decode("latin-1") for value in said)
        return peer, forwarded_for, forwarded

    def _is_event_stream(self) -> bool:
        for name, value in (self._start or {}).get("headers") or ():
            if name.lower() == b"content-type":
                return bool(value.startswith(b"text/event-stream"))
        return False


class _Socket(_Exchange):
    """One websocket connection: its answer is the accept, its bytes are the messages' both ways."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Count what the client sends and notice when it leaves."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._request_bytes += _message_bytes(message)
        elif message["type"] == "websocket.disconnect":
            self._is_client_gone = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Time the accept or the refusal, and count what the application sends."""
        kind = message["type"]
        if kind == "websocket.send":
            self._response_bytes += _message_bytes(message)
        elif kind == "websocket.http.response.body":
            self._response_bytes += len(message.get("body") or b"")
        elif self._ttfb_ns is None:
            self._ttfb_ns = perf_counter_ns() - self._started_ns
            # A close before the accept is a refusal, which servers answer with 403.
            self._status = 101 if kind == "websocket.accept" else message.get("status", 403)
        return self._send(message)

    def fail(self, error: BaseException) -> None:
        """Record a connection whose application raised; a client that left is no failure of it."""
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


class _FlushAtShutdown:
    """The lifespan's `send`: delivers what is buffered before the shutdown is reported complete."""

    __slots__ = ("_recorder", "_send")

    def __init__(self, recorder: Recorder, send: Send) -> None:
        self._recorder = recorder
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown"):
            await flush_before_end(self._recorder)
        await self._send(message)


async def flush_before_end(recorder: Recorder) -> None:
    """Deliver what is buffered, within the time an exit may take, without blocking the event loop."""
    import asyncio  # noqa: PLC0415  # half of this module's import time; whoever gets here has it already

    timeout_s = recorder.options.exit_timeout_s
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # a server on trio: at its shutdown, blocking it harms nobody
        recorder.flush(timeout_s)
    else:
        await loop.run_in_executor(None, recorder.flush, timeout_s)


def _skips_under_prefix(recorder: Recorder, scope: Scope) -> bool:
    prefix: str = scope.get("root_path") or ""
    return bool(prefix) and recorder.skips_under(prefix, scope["path"])


def _find_header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    for name, value in headers:
        if name == wanted:
            return value
    return b""


def _message_bytes(message: Message) -> int:
    text = message.get("text")
    if text:
        return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return len(message.get("bytes") or b"")
