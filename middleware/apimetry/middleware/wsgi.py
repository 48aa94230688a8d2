"""WSGI: Flask, and anything else. ``app.wsgi_app = WSGIMiddleware(app.wsgi_app)`` or ``WSGIMiddleware(app)``."""

from __future__ import annotations

import sys
import weakref
from time import perf_counter_ns
from types import MethodType
from typing import TYPE_CHECKING, Any

from apimetry.middleware.errors import error_name
from apimetry.middleware.event import MAX_STRING_CHARACTERS
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routers import ask_router, find_router
from apimetry.middleware.routes import UNMATCHED_NAMES, NameCache, wsgi_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    Environ: TypeAlias = dict[str, Any]
    StartResponse: TypeAlias = Callable[..., Any]
    App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

_ERROR_KEY = "apimetry.error_type"
_MAX_STATUSES = 256
_INNER_NAMES = ("wsgi_app", "app", "application", "_app", "wrapped")


class WSGIMiddleware:
    """Records one event for each request, at the body's exhaustion, its error or its close, whichever is first.

    Options are those of `apimetry.middleware.options.Options`. Exceptions pass unchanged.
    """

    def __init__(self, wsgi_app: App, **options: Any) -> None:  # noqa: ANN401  # checked by Options
        self.recorder = Recorder(options)
        self.names = NameCache()
        self.statuses: dict[str, int] = {}
        self._call: Any = wsgi_app
        self._owner: Any = getattr(wsgi_app, "__self__", wsgi_app)
        self._owner_ref: weakref.ref[Any] | None = None
        self._is_settled = False
        _listen_to_flask(self._owner)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is buffered; True when the collector took all of it within the timeout. Blocks."""
        return self.recorder.flush(timeout_s)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on and record it."""
        if not self._is_settled:
            self._settle()
        call, owner_ref = self._call, self._owner_ref
        if owner_ref is not None:
            call = MethodType(call, owner_ref())
        if _is_skipped(self.recorder, environ):
            return call(environ, start_response)  # type: ignore[no-any-return]
        exchange = _Exchange(self, environ, start_response)
        try:
            body = call(environ, exchange.start_response)
        except BaseException as error:
            exchange.fail(error)
            raise
        return exchange.wrap(body)

    def find_router(self) -> Any:  # noqa: ANN401  # an application of any framework
        """Return what can be asked for a route that the application left nothing of, or None."""
        return find_router(self._owner if self._owner_ref is None else self._owner_ref())

    def read_status(self, status: str) -> int:
        """Return the number of a status line, and keep it for the next one."""
        number = int(status[:3])
        if len(self.statuses) < _MAX_STATUSES:
            self.statuses[status] = number
        return number

    def _settle(self) -> None:
        """Hold the application weakly where it holds us: otherwise only the cycle collector could free it.

        Decided at the first request, when ``app.wsgi_app = …`` has happened. An application that does not hold
        us, as in ``WSGIMiddleware(make_app().wsgi_app)``, is ours to keep alive.
        """
        self._is_settled = True
        call, owner = self._call, self._owner
        if not isinstance(call, MethodType) or not self._is_held_by(owner):
            return
        try:
            self._owner_ref = weakref.ref(owner)
        except TypeError:
            return  # slots without __weakref__
        self._call, self._owner = call.__func__, None

    def _is_held_by(self, owner: object) -> bool:
        inner: Any = owner
        for _ in range(16):
            attributes = getattr(inner, "__dict__", {})
            inner = next((attributes[name] for name in _INNER_NAMES if name in attributes), None)
            if inner is self:
                return True
        return False


class _Exchange:
    """One request and its response; the server iterates it in place of the application's body."""

    __slots__ = (
        "_body",
        "_chunks",
        "_environ",
        "_headers",
        "_host_said",
        "_is_recorded",
        "_iterator",
        "_middleware",
        "_names",
        "_path",
        "_response_bytes",
        "_script_name",
        "_start_response",
        "_started_ns",
        "_status",
        "_ttfb_ns",
        "_write",
    )

    def __init__(self, middleware: WSGIMiddleware, environ: Environ, start_response: StartResponse) -> None:
        self._body: Any
        self._middleware = middleware
        self._environ = environ
        self._start_response = start_response
        # Taken now: applications that dispatch to others move the script's name and the path.
        self._script_name = environ.get("SCRIPT_NAME", "")
        self._path = environ.get("PATH_INFO", "")
        self._names = UNMATCHED_NAMES
        self._headers: Any = ()
        self._status = self._chunks = self._response_bytes = 0
        self._ttfb_ns: int | None = None
        self._is_recorded = False
        self._started_ns = perf_counter_ns()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], Any]:
        """Note the status, and route and function while the framework's context is alive."""
        middleware = self._middleware
        try:
            self._status = middleware.statuses.get(status) or middleware.read_status(status)
            self._headers = headers
            self._names = wsgi_names(middleware.names, self._environ, self._script_name)
            if middleware.recorder.calls_host:
                self._host_said = self._ask_host()
        except Exception as error:  # noqa: BLE001  # the server is the judge of a bad status
            middleware.recorder.report_fault("wsgi", error)
        self._write = (
            self._start_response(status, headers)
            if exc_info is None
            else self._start_response(status, headers, exc_info)
        )
        return self.write

    def write(self, data: bytes) -> Any:  # noqa: ANN401  # whatever the server's write returns
        """Count what the application writes by itself, as PEP 3333 allows."""
        self._count(data)
        return self._write(data)

    def wrap(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body the server gets: this object, or the body itself where a wrapper would harm it."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if wrapper is not None and isinstance(wrapper, type) and isinstance(body, wrapper):
            # The server sends the file by itself if it sees its own wrapper.
            self._response_bytes = self._content_length() or 0
            self._record()
            return body
        self._body = body
        return _SizedExchange(self) if hasattr(body, "__len__") else self

    def __iter__(self) -> Iterator[bytes]:
        """Pass the body on, counting it as it flows, and record its end."""
        try:
            for data in self._body:
                if self._chunks == 0:
                    self._ttfb_ns = perf_counter_ns() - self._started_ns
                self._chunks += 1
                self._response_bytes += len(data)
                yield data
        except GeneratorExit:
            self._leave()
            raise
        except BaseException as error:
            self.fail(error)
            raise
        if not self._is_recorded:
            self._record()

    def __next__(self) -> bytes:
        """Serve a caller that takes this object for an iterator."""
        iterator: Iterator[bytes] | None = getattr(self, "_iterator", None)
        if iterator is None:
            iterator = self._iterator = iter(self)
        return next(iterator)

    def close(self) -> None:
        """Close the application's body and record, if the end of the body did not."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self.fail(error)
            raise
        if not self._is_recorded:
            self._leave()

    def fail(self, error: BaseException) -> None:
        """Record a request whose application raised."""
        if self._is_recorded:
            return
        self._status = 500
        self._record(error_name(error))

    def _leave(self) -> None:
        """Record a body that was not read to its end."""
        if self._is_recorded:
            return
        if self._is_cut_off():
            self._status = CLIENT_CLOSED
        self._record()

    def _count(self, data: bytes) -> None:
        if self._ttfb_ns is None:
            self._ttfb_ns = perf_counter_ns() - self._started_ns
        self._chunks += 1
        self._response_bytes += len(data)

    def _is_cut_off(self) -> bool:
        """Tell a client that left from a server that needs no more: all announced bytes given, or none at all."""
        if not self._chunks or self._environ.get("REQUEST_METHOD") == "HEAD":
            return False
        announced = self._content_length()
        return announced is None or self._response_bytes < announced

    def _content_length(self) -> int | None:
        for name, value in self._headers:
            if name.lower() == "content-length" and str(value).isdecimal():
                return int(value)
        return None

    def _record(self, error_type: str = "") -> None:
        if self._is_recorded:
            return
        self._is_recorded = True
        response_ns = perf_counter_ns() - self._started_ns
        middleware, environ, status, names = self._middleware, self._environ, self._status, self._names
        recorder = middleware.recorder
        try:
            extra: dict[str, str] | None = None
            if self._chunks > 1 and self._ttfb_ns is not None and self._is_event_stream():
                # How long a stream stays open says nothing about how fast it answered; leaving is how it ends.
                response_ns, extra = self._ttfb_ns, {"connection_us": str(response_ns // 1000)}
                status = 200 if status == CLIENT_CLOSED else status
            method = environ.get("REQUEST_METHOD", "")
            if names is UNMATCHED_NAMES and status != 404:
                # An exception that Flask passed on, when its context was gone; or Falcon, which leaves nothing.
                names = ask_router(middleware.find_router(), self._path, method)
            if status >= 500 or not status:
                status, error_type = status or 500, error_type or environ.get(_ERROR_KEY, "")
            path = self._script_name + self._path
            key = recorder.consumer_environ_key
            consumer = environ.get(key, "") if key else ""
            client: str | tuple[str, str, str] = ""
            user_agent = ""
            if recorder.takes_more:
                client, user_agent = read_client(environ, recorder), read_user_agent(environ, recorder)
                if recorder.calls_host:
                    said, data = getattr(self, "_host_said", None) or self._ask_host()
                    consumer, extra = said or consumer, {**data, **(extra or {})} if data else extra
            recorder.record(
                (
                    self._started_ns,
                    method,
                    path if path.isascii() else _text(path),
                    environ.get("QUERY_STRING", ""),
                    names,
                    status,
                    response_ns,
                    self._ttfb_ns,
                    environ.get("CONTENT_LENGTH") or 0,
                    self._response_bytes,
                    consumer,
                    error_type,
                    client,
                    user_agent,
                    1,
                    extra,
                )
            )
        except Exception as error:  # noqa: BLE001  # an environ no server should make never hurts the host
            recorder.report_fault("wsgi", error)

    def _ask_host(self) -> tuple[str, dict[str, str] | None]:
        """Call the host's callables: at the response's start, while Flask's `g` and its like are still there."""
        recorder, environ = self._middleware.recorder, self._environ
        consumer = recorder.consumer(environ) if recorder.calls_consumer else ""
        return consumer, recorder.data(environ) if recorder.calls_data else None

    def _is_event_stream(self) -> bool:
        for name, value in self._headers:
            if name.lower() == "content-type":
                return str(value).startswith("text/event-stream")
        return False


class _SizedExchange:
    """An exchange whose body has a length: servers announce Content-Length when it is one chunk."""

    __slots__ = ("_exchange", "close")

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self.close = exchange.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._exchange)

    def __len__(self) -> int:
        return len(self._exchange._body)  # noqa: SLF001  # same module


def _is_skipped(recorder: Recorder, environ: Environ) -> bool:
    path: str = environ.get("PATH_INFO", "")
    prefix: str = environ.get("SCRIPT_NAME", "")
    if not path.isascii():
        path = _text(path)
    return recorder.skips(path) or (bool(prefix) and recorder.skips(_text(prefix) + path))


def read_client(environ: Environ, recorder: Recorder) -> str | tuple[str, str, str]:
    """Return the peer's address, and what it says of others where that may be believed; empty when not wanted."""
    if not recorder.takes_client_ip:
        return ""
    peer: str = environ.get("REMOTE_ADDR") or ""
    if not recorder.takes_forwarded:
        return peer
    said = (environ.get(key, "")[-MAX_STRING_CHARACTERS:] for key in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"))
    return peer, *said


def read_user_agent(environ: Environ, recorder: Recorder) -> str:
    """Return the User-Agent header; empty when not wanted."""
    agent: str = environ.get("HTTP_USER_AGENT", "") if recorder.takes_user_agent else ""
    return agent[:MAX_STRING_CHARACTERS]


def _text(path: str) -> str:
    """Undo PEP 3333's latin-1 disguise of a UTF-8 path."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def _listen_to_flask(owner: object) -> None:
    """Have Flask tell the class of an exception it turns into a 500 before WSGI sees anything of it."""
    flask = sys.modules.get("flask")
    if flask is not None and isinstance(owner, flask.Flask):
        flask.got_request_exception.connect(_note_exception, owner)


def _note_exception(_sender: object, exception: BaseException, **_extra: object) -> None:
    request = sys.modules["flask"].request
    request.environ[_ERROR_KEY] = error_name(exception)
