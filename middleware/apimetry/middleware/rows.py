"""Turn a raw event into a row of the wire, in the exporter's thread. Only the exporter imports this module."""

from __future__ import annotations

from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Final, TypeAlias

from apimetry.middleware.event import MAX_STRING_CHARACTERS, NO_DETAILS
from apimetry.middleware.privacy import hash_consumer, public_address, public_url, resolve_client
from apimetry.middleware.trace_context import read_traceparent
from apimetry.middleware.wire import METHODS, bound_method

if TYPE_CHECKING:
    from apimetry.middleware.event import RawEvent
    from apimetry.middleware.options import Options

Row: TypeAlias = tuple[object, ...]
_MAX_LENGTH: Final = 1 << 53
"""The largest size that the collector takes. A larger `Content-Length` is not true and is left out."""


def measure_epoch_ns() -> int:
    """Return the difference between `time.perf_counter_ns` and nanoseconds since the epoch.

    The best of three measurements: a measurement is too small by the time between its two clock reads, in which
    another thread may run.
    """
    return max(time_ns() - perf_counter_ns() for _ in range(3))


def make_row(event: RawEvent, options: Options, epoch_ns: int) -> Row:
    """Return the row of a raw event: private parts masked, and default values at the end left out.

    Args:
        event: an event of this process.
        options: the options of the middleware.
        epoch_ns: the result of `measure_epoch_ns`, from shortly after the event: a clock that is set changes it.
    """
    (
        started_ns,
        method,
        path,
        query,
        names,
        status_code,
        response_ns,
        ttfb_ns,
        request_bytes,
        response_bytes,
        consumer,
        traceparent,
        weight,
        details,
    ) = event
    if isinstance(query, bytes):
        query = query.decode("ascii", "replace") if query else ""
    if isinstance(request_bytes, str):
        request_bytes = _read_length(request_bytes)
    known_method, method_text = (method, "") if method in METHODS else bound_method(method)
    response_us = response_ns // 1000 if response_ns > 0 else 0
    row = (
        (epoch_ns + started_ns) // 1000,
        known_method,
        public_url(path, query, options.url),
        *names,
        status_code,
        response_us,
        response_us if ttfb_ns is None else ttfb_ns // 1000 if ttfb_ns > 0 else 0,
        request_bytes,
        response_bytes if known_method != "HEAD" else 0,
        _read_consumer(consumer, options) if consumer else "",
    )
    if details is None and weight == 1 and not (traceparent or method_text):
        return row
    return row + _make_rest(event, method_text, options)


def _make_rest(event: RawEvent, method_text: str, options: Options) -> Row:
    """Return the values at the end of a row; none if all of them are defaults."""
    traceparent, weight, details = event[-3:]
    error_type, client, user_agent, data = details or NO_DETAILS
    if method_text:
        data = {"method": method_text, **(data or {})}
    if traceparent:
        data = {**read_traceparent(traceparent), **(data or {})} or None
    if not (error_type or client or user_agent or data or weight != 1):
        return ()
    if isinstance(client, tuple):
        client = resolve_client(*client, tuple(options.trusted_proxies))
    return (
        error_type[:MAX_STRING_CHARACTERS],
        public_address(client, options.client_ip),
        user_agent[:MAX_STRING_CHARACTERS],
        weight,
        data,
    )


def _read_consumer(consumer: str | bytes, options: Options) -> str | bytes:
    """Return the consumer of a row: what the host's callable returned, or the hash of a header's value."""
    if not isinstance(options.consumer, str):
        return consumer[:MAX_STRING_CHARACTERS]
    value = consumer if isinstance(consumer, bytes) else consumer.encode("latin-1", "replace")
    return hash_consumer(value, options.write_key)


def _read_length(header: str) -> int | None:
    """Return the number in a Content-Length; 0 without one, None if the number cannot be true."""
    if not header:
        return 0
    if not header.isdecimal() or len(header) > len(str(_MAX_LENGTH)):
        return None
    return int(header) if int(header) <= _MAX_LENGTH else None
