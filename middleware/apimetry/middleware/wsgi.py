"""WSGI: Flask, and anything else. ``app.wsgi_app = WSGIMiddleware(app.wsgi_app)`` or ``WSGIMiddleware(app)``."""

from __future__ import annotations

import weakref
from time import perf_counter_ns
from types import MethodType
from typing import TYPE_CHECKING, Any

from apimetry.middleware.bodies import CountedInput, count_input, has_unknown_length
from apimetry.middleware.environs import as_text, is_skipped, read_client, read_user_agent
from apimetry.middleware.errors import error_name
from apimetry.middleware.listeners import listen_within
from apimetry.middleware.nesting import MARK, OuterExchange, asgi_in_use, find_around, wsgi_in_use
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routers import RouteLookup, RouterSearch, ask_routers, find_routers
from apimetry.middleware.routes import UNKNOWN_NAMES, UNMATCHED_NAMES, NameCache, wsgi_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from apimetry.middleware.event import Details
    from apimetry.middleware.routes import Names

    Environ: TypeAlias = dict[str, Any]
    StartResponse: TypeAlias = Callable[..., Any]
    App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

_MAX_STATUSES = 256
_MAX_STATUS_CHARACTERS = 64
_LENGTH_CHARACTERS = len("content-length")
_INNER_NAMES = ("wsgi_app", "app", "application", "_app", "wrapped")


class WSGIMiddleware:
    """Record one event per request: when the whole body is handed over, at an error, or when the body is closed.

    Options are those of `apimetry.middleware.options.Options`. Exceptions pass unchanged. The outermost of several
    nested middlewares records the request.
    """

    def __init__(self, wsgi_app: App, **options: Any) -> None:  # noqa: ANN401 - checked by Options
        self.recorder = Recorder(options)
        self.names = NameCache()
        self.statuses: dict[str, int] = {}
        self._call: Any = wsgi_app
        self._owner: Any = getattr(wsgi_app, "__self__", wsgi_app)
        self._owner_ref: weakref.ref[Any] | None = None
        self._is_settled = False
        self._router_search = RouterSearch()
        wsgi_in_use.add("wsgi")
        listen_within(wsgi_app)

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
        # Read now: applications that dispatch to others change both.
        script_name, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        if self.recorder.skips(path) or ((script_name or not path.isascii()) and is_skipped(self.recorder, environ)):
            return call(environ, start_response)  # type: ignore[no-any-return]
        outer = environ.get(MARK) or (find_around(environ) if asgi_in_use else None)
        if outer is not None:
            return call(environ, self._note_names(outer, environ, start_response))  # type: ignore[no-any-return]
        exchange = _Exchange(self, environ, start_response, (script_name, path))
        try:
            body = call(environ, exchange.start_response)
        except BaseException as error:
            exchange.fail(error)
            raise
        return exchange.wrap(body)

    def ask_names(self, path: str, method: str) -> Names:
        """Ask the application's routers for the names of a request that left no trace of its route."""
        if self._owner_ref is None:
            routers = self._router_search.find(self._owner)
        else:
            routers = find_routers(self._owner_ref())  # not kept: the search would hold the application
        return ask_routers(routers, RouteLookup(as_text(path), method)) if routers else UNMATCHED_NAMES

    def _note_names(self, outer: OuterExchange, environ: Environ, start_response: StartResponse) -> StartResponse:
        """Return a `start_response` that hands the names of the request to the outermost middleware's exchange."""
        script_name = environ.get("SCRIPT_NAME", "")

        def note(status: str, headers: Any, *exc_info: Any) -> Any:  # noqa: ANN401 - the server's types
            try:
                names = wsgi_names(self.names, environ, script_name)
                if names is not UNKNOWN_NAMES:
                    outer.inner_names = names
            except Exception as error:  # noqa: BLE001 - an unusual environ never hurts the host
                self.recorder.report_fault("wsgi", error)
            return start_response(status, headers, *exc_info)

        return note

    def read_status(self, status: str) -> int:
        """Return the number of a status line, and remember it for equal lines."""
        number = int(status[:3])
        if len(self.statuses) < _MAX_STATUSES and len(status) <= _MAX_STATUS_CHARACTERS:
            self.statuses[status] = number
        return number

    def _settle(self) -> None:
        """Hold the application weakly if it holds this middleware: a cycle would wait for the cycle collector.

        The first request decides: ``app.wsgi_app = …`` has been assigned by then. The middleware keeps an application
        alive that does not hold the middleware, as in ``WSGIMiddleware(make_app().wsgi_app)``.
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
        "_counted",
        "_environ",
        "_headers",
        "_host_values",
        "_is_recorded",
        "_iterator",
        "_middleware",
        "_names",
        "_response_bytes",
        "_script_name",
        "_size",
        "_start_response",
        "_started_ns",
        "_status",
        "_ttfb_ns",
        "_write",
        "handled_error",
        "inner_names",
        "path",
    )

    def __init__(
        self, middleware: WSGIMiddleware, environ: Environ, start_response: StartResponse, paths: tuple[str, str]
    ) -> None:
        self._body: Any
        self._middleware = middleware
        self._environ = environ
        self._start_response = start_response
        self._script_name, self.path = paths
        self._names = UNKNOWN_NAMES
        self._headers: Any = ()
        self._counted: CountedInput | None = None
        self.handled_error = ""
        self.inner_names: Names | None = None
        environ[MARK] = self  # a cycle, which `_record` ends
        if ("HTTP_TRANSFER_ENCODING" in environ or environ.get("REQUEST_METHOD") != "GET") and has_unknown_length(
            environ
        ):
            self._counted = count_input(environ)
        self._status = self._chunks = self._response_bytes = self._size = 0
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
            if exc_info is not None:
                self._note_error(exc_info)
            if middleware.recorder.calls_host:
                self._host_values = self._call_host()
        except Exception as error:  # noqa: BLE001 - the server judges a bad status
            middleware.recorder.report_fault("wsgi", error)
        self._write = (
            self._start_response(status, headers)
            if exc_info is None
            else self._start_response(status, headers, exc_info)
        )
        return self.write

    def _note_error(self, exc_info: object) -> None:
        """Note the class of an exception that the application turned into a response (PEP 3333, exc_info)."""
        error = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) > 1 else None
        if isinstance(error, BaseException):
            self.handled_error = error_name(error)

    def write(self, data: bytes) -> Any:  # noqa: ANN401 - the type that the server's write returns
        """Count the data that the application writes by `write` (PEP 3333)."""
        self._count(data)
        return self._write(data)

    def wrap(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body for the server: this object, or the application's body where a wrapper would harm it."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if wrapper is not None and isinstance(wrapper, type) and isinstance(body, wrapper):
            # The server sends the file by itself if the body is its own wrapper.
            self._response_bytes = self._content_length() or 0
            self._record()
            return body
        self._body = body
        if type(body) in (list, tuple) and self._status:
            # The whole body is in memory, and iterating it has no effects: no need to wait until the server reads it.
            self._response_bytes += sum(map(len, body))
            self._record()
        if not hasattr(body, "__len__"):
            return self
        self._size = len(self._body)
        return _SizedExchange(self)

    def __iter__(self) -> Iterator[bytes]:
        """Pass the body on and count it; record the request at the announced length, or at the body's end."""
        announced = None
        try:
            for data in self._body:
                if self._chunks == 0:
                    self._ttfb_ns = perf_counter_ns() - self._started_ns
                    # Frameworks announce the length of a body of one chunk; of others it takes longer to find.
                    is_whole = ("Content-Length", str(len(data))) in self._headers
                    announced = len(data) if is_whole else self._content_length()
                self._chunks += 1
                self._response_bytes += len(data)
                if self._response_bytes == announced or self._chunks == self._size:
                    self._record()  # now: a caller that keeps the response reads no further
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
        """Close the application's body, and record the request unless the end of the body did."""
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
        """Return whether the client left early. A server that read all announced bytes, or none, needs no more."""
        if not self._chunks or self._environ.get("REQUEST_METHOD") == "HEAD":
            return False
        announced = self._content_length()
        return announced is None or self._response_bytes < announced

    def _content_length(self) -> int | None:
        for name, value in self._headers:
            if len(name) == _LENGTH_CHARACTERS and name.lower() == "content-length" and str(value).isdecimal():
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
            environ.pop(MARK, None)
            extra: dict[str, str] | None = None
            if self._chunks > 1 and self._ttfb_ns is not None and self._is_event_stream():
                # The time that a stream stays open is no response time, and a client ends it by leaving.
                response_ns, extra = self._ttfb_ns, {"connection_us": str(response_ns // 1000)}
                status = 200 if status == CLIENT_CLOSED else status
            method = environ.get("REQUEST_METHOD", "")
            if names is UNKNOWN_NAMES:
                # An inner layer answered, or passed on a copy of the environ; or Falcon or Pyramid left no trace.
                names = self.inner_names or middleware.ask_names(self.path, method)
            if status >= 500 or not status:
                status, error_type = status or 500, error_type or self.handled_error
            key = recorder.consumer_environ_key
            consumer, details = environ.get(key, "") if key else "", None
            if recorder.takes_more or error_type or extra:
                called_consumer, details = self._find_details(error_type, extra)
                consumer = called_consumer or consumer
            path, counted = self._script_name + self.path, self._counted
            recorder.record(
                (
                    self._started_ns,
                    method,
                    path if path.isascii() else as_text(path),
                    environ.get("QUERY_STRING", ""),
                    names,
                    status,
                    response_ns,
                    self._ttfb_ns,
                    (environ.get("CONTENT_LENGTH") or 0) if counted is None else counted.known_bytes,
                    self._response_bytes,
                    consumer,
                    environ.get("HTTP_TRACEPARENT", ""),
                    1,
                    details,
                )
            )
        except Exception as error:  # noqa: BLE001 - a malformed environ never hurts the host
            recorder.report_fault("wsgi", error)

    def _find_details(self, error_type: str, extra: dict[str, str] | None) -> tuple[str, Details]:
        """Return the consumer by the host's callable, and what few events have; `extra` is the adapter's own data."""
        recorder, environ = self._middleware.recorder, self._environ
        consumer = ""
        if recorder.calls_host:
            consumer, data = getattr(self, "_host_values", None) or self._call_host()
            extra = {**data, **(extra or {})} if data else extra
        return consumer, (error_type, read_client(environ, recorder), read_user_agent(environ, recorder), extra)

    def _call_host(self) -> tuple[str, dict[str, str] | None]:
        """Call the host's callables: at the response's start, while Flask's `g` still exists."""
        recorder, environ = self._middleware.recorder, self._environ
        consumer = recorder.consumer(environ) if recorder.calls_consumer else ""
        return consumer, recorder.data(environ) if recorder.calls_data else None

    def _is_event_stream(self) -> bool:
        for name, value in self._headers:
            if name.lower() == "content-type":
                return str(value).startswith("text/event-stream")
        return False


class _SizedExchange:
    """An exchange whose body has a length: servers announce Content-Length for a body of one chunk."""

    __slots__ = ("_exchange", "close")

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self.close = exchange.close

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        return iter(exchange._body if exchange._is_recorded else exchange)  # noqa: SLF001 - same module

    def __len__(self) -> int:
        return len(self._exchange._body)  # noqa: SLF001 - same module
