"""WSGI: Flask, and anything else. ``app.wsgi_app = WSGIMiddleware(app.wsgi_app)`` or ``WSGIMiddleware(app)``."""

from __future__ import annotations

import inspect
import sys
import weakref
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any

from apimetry.middleware.errors import error_name
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routes import UNMATCHED, match_wsgi_route, wsgi_route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    Environ: TypeAlias = dict[str, Any]
    App: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_ERROR_KEY = "apimetry.error_type"
_SCRIPT_KEY = "apimetry.script_name"
_INNER_NAMES = ("wsgi_app", "app", "application", "_app", "wrapped")


class WSGIMiddleware:
    """Records one event for each request, at the body's exhaustion, its error or its close, whichever is first.

    Options are those of `apimetry.middleware.options.Options`. Exceptions pass unchanged.
    """

    def __init__(self, wsgi_app: App, **options: Any) -> None:  # noqa: ANN401  # checked by Options
        self.recorder = Recorder(options)
        self._call: Any = wsgi_app
        self._owner: Any = getattr(wsgi_app, "__self__", wsgi_app)
        self._owner_ref: weakref.ref[Any] | None = None
        self._is_settled = False
        _listen_to_flask(self._owner)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is buffered; True when nothing was left within the timeout. Blocks."""
        return self.recorder.flush(timeout_s)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on and record it."""
        if not self._is_settled:
            self._settle()
        owner, call = self._owner, self._call
        if self._owner_ref is not None:
            owner = self._owner_ref()
            call = call.__get__(owner)
        if self.recorder.skips(environ.get("PATH_INFO", "")):
            return call(environ, start_response)  # type: ignore[no-any-return]
        exchange = _Exchange(self.recorder, environ, start_response, owner)
        try:
            body = call(environ, exchange.start_response)
        except BaseException as error:
            exchange.fail(error)
            raise
        return exchange.wrap(body)

    def _settle(self) -> None:
        """Hold the application weakly where it holds us: otherwise only the cycle collector could free it.

        Decided at the first request, when ``app.wsgi_app = …`` has happened. An application that does not hold
        us, as in ``WSGIMiddleware(make_app().wsgi_app)``, is ours to keep alive.
        """
        self._is_settled = True
        call, owner = self._call, self._owner
        if not inspect.ismethod(call) or not self._is_held_by(owner):
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
        "_error_type",
        "_headers",
        "_is_exhausted",
        "_is_recorded",
        "_iterator",
        "_names",
        "_owner",
        "_path",
        "_recorder",
        "_response_bytes",
        "_start_response",
        "_started_ns",
        "_status",
        "_timestamp_ns",
        "_ttfb_ns",
    )

    def __init__(
        self, recorder: Recorder, environ: Environ, start_response: Callable[..., Any], owner: object
    ) -> None:
        self._recorder = recorder
        self._environ = environ
        self._start_response = start_response
        self._owner = owner
        self._body: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] | None = None
        # Taken now: applications that dispatch to others move the script's name.
        script_name = environ.get("SCRIPT_NAME", "")
        environ[_SCRIPT_KEY] = script_name
        self._path = script_name + environ.get("PATH_INFO", "")
        self._names = (UNMATCHED, "")
        self._headers: Any = ()
        self._error_type = ""
        self._status = self._chunks = self._response_bytes = 0
        self._ttfb_ns: int | None = None
        self._is_exhausted = self._is_recorded = False
        self._timestamp_ns = time_ns()
        self._started_ns = perf_counter_ns()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], *exc_info: object
    ) -> Callable[[bytes], Any]:
        """Note the status, and route and function while the framework's context is alive."""
        try:
            self._status, self._headers = int(status[:3]), headers
            self._names = wsgi_route(self._environ, self._owner)
        except Exception as error:  # noqa: BLE001  # the server is the judge of a bad status
            self._recorder.report_fault("wsgi", error)
        write = self._start_response(status, headers, *exc_info)

        def counting_write(data: bytes) -> Any:  # noqa: ANN401  # whatever the server's write returns
            self._count(data)
            return write(data)

        return counting_write

    def wrap(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body the server gets: this object, or the body itself where a wrapper would harm it."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            # The server sends the file by itself if it sees its own wrapper.
            self._response_bytes = self._content_length() or 0
            self._is_exhausted = True
            self._record()
            return body
        self._body = body
        return _SizedExchange(self) if hasattr(body, "__len__") else self

    def __iter__(self) -> Iterator[bytes]:
        try:
            self._iterator = iter(self._body)
        except BaseException as error:
            self.fail(error)
            raise
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            iter(self)
        try:
            data = next(self._iterator)  # type: ignore[arg-type]
        except StopIteration:
            self._is_exhausted = True
            self._record()
            raise
        except BaseException as error:
            self.fail(error)
            raise
        self._count(data)
        return data

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
            if self._is_cut_off():
                self._status = CLIENT_CLOSED
            self._record()

    def fail(self, error: BaseException) -> None:
        """Record a request whose application raised."""
        if self._is_recorded:
            return
        if isinstance(error, GeneratorExit):
            self._status = CLIENT_CLOSED
        else:
            self._status, self._error_type = 500, error_name(error)
        if self._names[0] == UNMATCHED:
            self._names = match_wsgi_route(self._environ, self._owner)
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
            if name.lower() == "content-length" and str(value).isdigit():
                return int(value)
        return None

    def _record(self) -> None:
        if self._is_recorded:
            return
        self._is_recorded = True
        response_ns = perf_counter_ns() - self._started_ns
        try:
            if self._chunks > 1 and self._ttfb_ns is not None and self._is_event_stream():
                if self._status == CLIENT_CLOSED:
                    self._status = 200  # leaving is how a stream of events ends
                extra = {"connection_us": str(response_ns // 1000)}
                self._record_event(self._ttfb_ns, extra)
            else:
                self._record_event(response_ns, None)
        except Exception as error:  # noqa: BLE001  # an environ no server should make never hurts the host
            self._recorder.report_fault("wsgi", error)

    def _record_event(self, response_ns: int, extra: dict[str, str] | None) -> None:
        environ, recorder = self._environ, self._recorder
        method = environ["REQUEST_METHOD"]
        route, function = self._names
        length = environ.get("CONTENT_LENGTH") or "0"
        query = environ.get("QUERY_STRING", "")
        recorder.record(
            (
                self._timestamp_ns,
                method,
                (_text(self._path), query),
                route,
                function,
                self._status or 500,
                response_ns,
                response_ns if self._ttfb_ns is None else self._ttfb_ns,
                int(length) if length.isdigit() else None,
                0 if method == "HEAD" else self._response_bytes,
                self._consumer(),
                self._error_type or (environ.get(_ERROR_KEY, "") if self._status >= 500 else ""),
                environ.get("REMOTE_ADDR", "") if recorder.takes_client_ip else "",
                environ.get("HTTP_USER_AGENT", "") if recorder.takes_user_agent else "",
                1,
                recorder.data(environ, extra) if recorder.calls_data else extra,
            )
        )

    def _consumer(self) -> str | bytes:
        recorder, environ = self._recorder, self._environ
        if recorder.calls_consumer:
            return recorder.consumer(environ)
        key = recorder.consumer_environ_key
        return environ.get(key, "").encode("latin-1", "replace") if key else ""

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
        return len(self._exchange._body)  # type: ignore[arg-type]  # noqa: SLF001  # same module


def _text(path: str) -> str:
    """Undo PEP 3333's latin-1 disguise of a UTF-8 path."""
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


def _listen_to_flask(owner: object) -> None:
    """Have Flask tell the class of an exception it turns into a 500 before WSGI sees anything of it."""
    flask = sys.modules.get("flask")
    if flask is not None and isinstance(owner, flask.Flask):
        flask.got_request_exception.connect(_note_exception, owner)


def _note_exception(_sender: object, exception: BaseException, **_extra: object) -> None:
    request = sys.modules["flask"].request
    request.environ[_ERROR_KEY] = error_name(exception)
