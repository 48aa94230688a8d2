"""Django, WSGI and ASGI: ``"apimetry.middleware.django.DjangoMiddleware"`` at the top of ``MIDDLEWARE``."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings  # type: ignore[import-untyped]  # it ships no types

from apimetry.middleware.asgi import flush_before_end
from apimetry.middleware.errors import error_name, is_cancellation
from apimetry.middleware.recorder import CLIENT_CLOSED, Recorder
from apimetry.middleware.routes import NameCache, django_names
from apimetry.middleware.wsgi import read_client, read_user_agent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_ERROR_ATTRIBUTE = "_apimetry_error_type"


class DjangoMiddleware:
    """Records one event for each request; sync and async, streaming too.

    Options are those of `apimetry.middleware.options.Options`, in ``settings.APIMETRY``. What is buffered is sent
    when the interpreter exits. Under uvicorn, which ends itself by SIGTERM's default action, it is sent while the
    server drains: the exporter sees that it does, and a request that ends while it drains waits for its delivery.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self.recorder = Recorder(getattr(settings, "APIMETRY", None) or {})
        self.names = NameCache()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Send what is buffered; True when the collector took all of it within the timeout. Blocks."""
        return self.recorder.flush(timeout_s)

    def __call__(self, request: Any) -> Any:  # noqa: ANN401  # Django has no types
        """Pass the request on and record it."""
        if self._is_async:
            return self._call_async(request)
        if _is_skipped(self.recorder, request):
            return self.get_response(request)
        exchange = _Exchange(self, request)
        try:
            response = self.get_response(request)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.answer(response)
        return response

    async def _call_async(self, request: Any) -> Any:  # noqa: ANN401  # Django has no types
        if _is_skipped(self.recorder, request):
            return await self.get_response(request)
        exchange = _Exchange(self, request)
        try:
            response = await self.get_response(request)
        except BaseException as error:
            exchange.fail(error)
            raise
        exchange.answer(response)
        if self.recorder.host.is_stopping:
            await flush_before_end(self.recorder)
        return response

    def process_exception(self, request: Any, exception: BaseException) -> None:  # noqa: ANN401  # see above
        """Note the class of a view's exception, which Django turns into a response before we see it."""
        setattr(request, _ERROR_ATTRIBUTE, error_name(exception))


def _is_skipped(recorder: Recorder, request: Any) -> bool:  # noqa: ANN401  # Django has no types
    path, within = request.path, request.path_info
    return recorder.skips(path) or (within != path and recorder.skips(within))


class _Exchange:
    """One request and its response."""

    __slots__ = (
        "_is_event_stream",
        "_is_recorded",
        "_middleware",
        "_request",
        "_response_bytes",
        "_started_ns",
        "_status",
        "_ttfb_ns",
    )

    def __init__(self, middleware: DjangoMiddleware, request: Any) -> None:  # noqa: ANN401  # Django has no types
        self._middleware = middleware
        self._request = request
        self._status = 0
        self._response_bytes: int | None = 0
        self._ttfb_ns: int | None = None
        self._is_event_stream = self._is_recorded = False
        self._started_ns = perf_counter_ns()

    def answer(self, response: Any) -> None:  # noqa: ANN401  # Django has no types
        """Record a response that is complete, or follow one that streams to its last byte."""
        try:
            self._status = response.status_code
            if not response.streaming:
                self._response_bytes = len(response.content)
                self.finish()
            elif getattr(response, "file_to_stream", None) is not None:
                # The server may send the file by itself; replacing the content would keep it from that.
                length = response.get("Content-Length", "")
                self._response_bytes = int(length) if length.isdigit() else None
                response._resource_closers.append(self.finish)  # noqa: SLF001  # the only hook at its end
            else:
                self._is_event_stream = response.get("Content-Type", "").startswith("text/event-stream")
                stream = _AsyncStream if response.is_async else _Stream
                response.streaming_content = stream(self, response.streaming_content)
        except Exception as error:  # noqa: BLE001  # an odd response never hurts the host
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
        """Record a request whose client left before the last byte, which is how a stream of events ends."""
        if not self._is_event_stream:
            self._status = CLIENT_CLOSED
        self.finish()

    def finish(self, error_type: str = "") -> None:
        """Record the request, once."""
        if self._is_recorded:
            return
        self._is_recorded = True
        response_ns = perf_counter_ns() - self._started_ns
        middleware, request, status = self._middleware, self._request, self._status
        recorder = middleware.recorder
        try:
            extra: dict[str, str] | None = None
            if self._is_event_stream:
                extra = {"connection_us": str(response_ns // 1000)}
                response_ns = response_ns if self._ttfb_ns is None else self._ttfb_ns
            meta, method = request.META, request.method
            if status >= 500:
                error_type = error_type or getattr(request, _ERROR_ATTRIBUTE, "")
            key = recorder.consumer_environ_key
            consumer = str(meta.get(key, "")) if key else ""
            client: str | tuple[str, str, str] = ""
            user_agent = ""
            if recorder.takes_more:
                client, user_agent = read_client(meta, recorder), read_user_agent(meta, recorder)
                if recorder.calls_consumer:
                    consumer = recorder.consumer(request)
                extra = recorder.data(request, extra)
            recorder.record(
                (
                    self._started_ns,
                    method,
                    request.path,
                    meta.get("QUERY_STRING", ""),
                    django_names(middleware.names, getattr(request, "resolver_match", None), method),
                    status,
                    response_ns,
                    self._ttfb_ns,
                    str(meta.get("CONTENT_LENGTH") or ""),
                    self._response_bytes,
                    consumer,
                    error_type,
                    client,
                    user_agent,
                    1,
                    extra,
                )
            )
        except Exception as error:  # noqa: BLE001  # an odd request never hurts the host
            recorder.report_fault("django", error)


class _Stream:
    """A streaming response's content, followed to its end."""

    __slots__ = ("_exchange", "_iterator")

    def __init__(self, exchange: _Exchange, content: Any) -> None:  # noqa: ANN401  # Django has no types
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
        self._exchange.leave()


class _AsyncStream:
    """An asynchronous streaming response's content, followed to its end."""

    __slots__ = ("_exchange", "_iterator")

    def __init__(self, exchange: _Exchange, content: Any) -> None:  # noqa: ANN401  # Django has no types
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
        self._exchange.leave()
