"""Django, WSGI and ASGI: ``"apimetry.middleware.django.DjangoMiddleware"`` at the top of ``MIDDLEWARE``."""

from __future__ import annotations

import sys
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings  # type: ignore[import-untyped]  # it ships no types
from django.core.signals import got_request_exception  # type: ignore[import-untyped]  # likewise
from django.urls import resolve  # type: ignore[import-untyped]  # likewise

from apimetry.middleware.bodies import count_input, has_unknown_length
from apimetry.middleware.environs import read_client, read_user_agent
from apimetry.middleware.errors import error_name, is_cancellation
from apimetry.middleware.lazy_requests import without_queries
from apimetry.middleware.lifespan import flush_before_end
from apimetry.middleware.nesting import MARK, OuterExchange, asgi_in_use, find_around, note_error, wsgi_in_use
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routes import UNKNOWN_NAMES, UNMATCHED_NAMES, NameCache, django_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from apimetry.middleware.routes import Names


class DjangoMiddleware:
    """Record one event per request; sync and async, streaming too.

    Options are those of `apimetry.middleware.options.Options`, in ``settings.APIMETRY``. Buffered events are sent
    when the interpreter exits. uvicorn ends itself by SIGTERM's default action: there, events are sent while the
    server drains. The exporter notices that the server drains; a request that ends meanwhile waits for its delivery.
    The outermost of several nested middlewares records the request.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self.recorder = Recorder(getattr(settings, "APIMETRY", None) or {})
        self.names = NameCache()
        self._is_async = iscoroutinefunction(get_response)
        wsgi_in_use.add("django")
        got_request_exception.connect(_note_exception)
        if self._is_async:
            markcoroutinefunction(self)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is buffered; True when the collector took all of it within the timeout. Blocks."""
        return self.recorder.flush(timeout_s)

    def __call__(self, request: Any) -> Any:  # noqa: ANN401 - Django has no types
        """Pass the request on and record it."""
        if self._is_async:
            return self._call_async(request)
        path, skips = request.path, self.recorder.skips
        if skips(path) or (request.path_info != path and skips(request.path_info)):
            return self.get_response(request)
        carrier = getattr(request, "scope", None) or request.META
        outer = carrier.get(MARK) or (asgi_in_use and carrier is request.META and find_around(carrier))
        if outer:
            return self._share_names(outer, request, self.get_response(request))
        exchange = _Exchange(self, request, carrier)
        try:
            response = self.get_response(request)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.answer(response)
        return response

    async def _call_async(self, request: Any) -> Any:  # noqa: ANN401 - Django has no types
        path, skips = request.path, self.recorder.skips
        if skips(path) or (request.path_info != path and skips(request.path_info)):
            return await self.get_response(request)
        carrier = getattr(request, "scope", None) or request.META
        outer = carrier.get(MARK)
        if outer is not None:
            return self._share_names(outer, request, await self.get_response(request))
        exchange = _Exchange(self, request, carrier)
        try:
            response = await self.get_response(request)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.answer(response)
        if self.recorder.host.is_stopping:
            await flush_before_end(self.recorder)
        return response

    def find_names(self, request: Any, status: int) -> Names:  # noqa: ANN401 - Django has no types
        """Return the names of a request: of its resolver match, or of a new one where an inner layer answered."""
        names = django_names(self.names, getattr(request, "resolver_match", None), request.method)
        if names is not UNKNOWN_NAMES:
            return names
        if status == 404:
            return UNMATCHED_NAMES
        try:
            match = resolve(request.path_info, getattr(request, "urlconf", None))
        except Exception:  # noqa: BLE001 - Resolver404, or an error of the project's converters: unmatched
            return UNMATCHED_NAMES
        return django_names(self.names, match, request.method)

    def _share_names(self, outer: OuterExchange, request: Any, response: Any) -> Any:  # noqa: ANN401 - Django has no types
        """Hand the names of a request to the outermost middleware's exchange; returns the response."""
        try:
            names = self.find_names(request, response.status_code)
            outer.inner_names = names if names is not UNMATCHED_NAMES else outer.inner_names
        except Exception as error:  # noqa: BLE001 - an unusual request never hurts the host
            self.recorder.report_fault("django", error)
        return response


def _note_exception(request: Any = None, **_signal: Any) -> None:  # noqa: ANN401 - the signal of Django has no types
    """Note the class of an exception that Django turns into a response inside this middleware."""
    error = sys.exc_info()[1]
    if error is not None and request is not None:
        note_error(getattr(request, "scope", None) or request.META, error)


class _Exchange:
    """One request and its response."""

    __slots__ = (
        "_carrier",
        "_counted",
        "_is_event_stream",
        "_is_recorded",
        "_length",
        "_middleware",
        "_request",
        "_response_bytes",
        "_started_ns",
        "_status",
        "_ttfb_ns",
        "handled_error",
        "inner_names",
        "path",
    )

    def __init__(self, middleware: DjangoMiddleware, request: Any, carrier: Any) -> None:  # noqa: ANN401 - Django has no types
        self._middleware = middleware
        self._request = request
        self._status = 0
        self._response_bytes: int | None = 0
        self._ttfb_ns: int | None = None
        self._length: int | None = None  # the announced length of the response's body
        self._is_event_stream = self._is_recorded = False
        self._counted = None if request.method == "GET" else _count_body(request)
        self._carrier = carrier  # the request's scope or environ
        self.path = request.path
        self.handled_error = ""
        self.inner_names: Names | None = None
        carrier[MARK] = self  # a cycle, which `finish` ends
        self._started_ns = perf_counter_ns()

    def answer(self, response: Any) -> None:  # noqa: ANN401 - Django has no types
        """Record a response that is complete, or follow one that streams to its last byte."""
        try:
            self._status = response.status_code
            if not response.streaming:
                self._response_bytes = len(response.content)
                self.finish()
            elif self._request.method == "HEAD":
                self.finish()  # servers and the test client do not read the stream of a HEAD
            elif getattr(response, "file_to_stream", None) is not None:
                # The server may send the file by itself, but no other content in its place.
                self._response_bytes = _announced_length(response)
                response._resource_closers.append(self.finish)  # noqa: SLF001 - the only hook at its end
            else:
                self._is_event_stream = response.get("Content-Type", "").startswith("text/event-stream")
                self._length = _announced_length(response)
                stream = _AsyncStream if response.is_async else _Stream
                response.streaming_content = stream(self, response.streaming_content)
        except Exception as error:  # noqa: BLE001 - an unusual response never hurts the host
            self._middleware.recorder.report_fault("django", error)

    def count(self, data: bytes) -> None:
        """Count a chunk that streams out."""
        if self._ttfb_ns is None:
            self._ttfb_ns = perf_counter_ns() - self._started_ns
        self._response_bytes = (self._response_bytes or 0) + len(data)

    def fail(self, error: BaseException) -> None:
        """Record a request whose application raised."""
        if isinstance(error, GeneratorExit) or is_cancellation(error):
            self.leave()
        else:
            self._status = 500
            self.finish(error_name(error))

    def leave(self) -> None:
        """Record a request whose client left before the last byte. A stream of events ends so."""
        if not self._is_event_stream:
            self._status = CLIENT_CLOSED
        self.finish()

    def close(self) -> None:
        """Record a stream that is closed before its end: the client left, or needs no more."""
        is_whole = self._length is not None and (self._response_bytes or 0) >= self._length
        # A stream that was never read is not wanted, as in a test that checks the status alone.
        if self._ttfb_ns is None or is_whole:
            self.finish()
        else:
            self.leave()

    def finish(self, error_type: str = "") -> None:
        """Record the request, once."""
        if self._is_recorded:
            return
        self._is_recorded = True
        response_ns = perf_counter_ns() - self._started_ns
        middleware, request, status = self._middleware, self._request, self._status
        recorder = middleware.recorder
        try:
            self._carrier.pop(MARK, None)
            extra: dict[str, str] | None = None
            if self._is_event_stream:
                extra = {"connection_us": str(response_ns // 1000)}
                response_ns = response_ns if self._ttfb_ns is None else self._ttfb_ns
            meta, method = request.META, request.method
            if status >= 500:
                error_type = error_type or self.handled_error
            names = django_names(middleware.names, request.resolver_match, method)
            if names is UNKNOWN_NAMES:
                names = middleware.find_names(request, status)
            key = recorder.consumer_environ_key
            consumer, details = str(meta.get(key, "")) if key else "", None
            if recorder.takes_more or error_type or extra:
                if recorder.calls_host:
                    with without_queries(request):
                        consumer = recorder.consumer(request) if recorder.calls_consumer else consumer
                        extra = recorder.data(request, extra)
                details = error_type, read_client(meta, recorder), read_user_agent(meta, recorder), extra
            recorder.record(
                (
                    self._started_ns,
                    method,
                    request.path,
                    meta.get("QUERY_STRING", ""),
                    names,
                    status,
                    response_ns,
                    self._ttfb_ns,
                    (meta.get("CONTENT_LENGTH") or 0) if self._counted is None else self._counted(),
                    self._response_bytes,
                    consumer,
                    meta.get("HTTP_TRACEPARENT", ""),
                    1,
                    details,
                )
            )
        except Exception as error:  # noqa: BLE001 - an unusual request never hurts the host
            recorder.report_fault("django", error)


def _count_body(request: Any) -> Callable[[], int | None] | None:  # noqa: ANN401 - Django has no types
    """Return a function that counts a request's body; None where the headers give the length."""
    if not has_unknown_length(request.META):
        return None
    if not hasattr(request, "scope"):
        counter = count_input(request.META)
        return lambda: counter.known_bytes
    # Django reads a whole ASGI body before the first middleware.
    stream = request._stream  # noqa: SLF001 - the public ways read the body
    stream.seek(0, 2)
    size: int = stream.tell()
    stream.seek(0)
    return lambda: size


def _announced_length(response: Any) -> int | None:  # noqa: ANN401 - Django has no types
    length = response.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


class _Stream:
    """A streaming response's content, followed to its end."""

    __slots__ = ("_exchange", "_iterator")

    def __init__(self, exchange: _Exchange, content: Any) -> None:  # noqa: ANN401 - Django has no types
        self._exchange = exchange
        self._iterator: Iterator[bytes] = iter(content)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            data = next(self._iterator)
        except StopIteration:
            self._exchange.finish()
            raise
        except BaseException as error:
            self._exchange.fail(error)
            raise
        self._exchange.count(data)
        return data

    def close(self) -> None:
        """Record a stream that is closed before its end."""
        self._exchange.close()

    __del__ = close


class _AsyncStream:
    """An asynchronous streaming response's content, followed to its end."""

    __slots__ = ("_exchange", "_iterator")

    def __init__(self, exchange: _Exchange, content: Any) -> None:  # noqa: ANN401 - Django has no types
        self._exchange = exchange
        self._iterator: AsyncIterator[bytes] = aiter(content)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await anext(self._iterator)
        except StopAsyncIteration:
            self._exchange.finish()
            raise
        except BaseException as error:
            self._exchange.fail(error)
            raise
        self._exchange.count(data)
        return data

    def close(self) -> None:
        """Record a stream that is closed before its end."""
        self._exchange.close()

    __del__ = close
