"""The event: the facts that an adapter measures of one request.

An adapter records a `RawEvent`, a plain tuple in the order of `wire.EVENT_FIELDS`. Its values cost nothing to read:
nanoseconds, the path and the query apart, the bytes of the consumer's header, the whole address. The exporter's
thread turns the tuple into a row of the wire: microseconds, a masked URL, a hashed consumer, a truncated address. No
raw value leaves the process. A NamedTuple in its place would cost every request 0.5 µs more.
"""

from __future__ import annotations

from enum import Enum
from sys import getsizeof
from typing import Final, TypeAlias

RawEvent: TypeAlias = tuple[
    int,  # started_ns: when the request arrived, by `time.perf_counter_ns`; the exporter knows the epoch
    str,  # method
    str,  # path
    "bytes | str",  # query string
    "tuple[str, str]",  # route and function; all requests to a route share the tuple
    int,  # status_code
    int,  # response_ns: from the start to the last body byte
    "int | None",  # ttfb_ns; None: the whole response was sent at once, at its end
    "int | str | None",  # request_bytes; or the text of a Content-Length
    "int | None",  # response_bytes; a response to HEAD may count bytes that are not sent
    "str | bytes",  # consumer: of the host's callable, or a header's value, to be hashed
    str,  # error_type
    "str | tuple[str, str, str]",  # client_ip, whole; or the peer's, X-Forwarded-For and Forwarded
    str,  # user_agent
    int,  # sample_weight
    "dict[str, str] | None",  # data
    "str | bytes",  # traceparent: the header of W3C's trace context
]

# Positions in a `RawEvent`.
STATUS_CODE: Final = 5
RESPONSE_NS: Final = 6
SAMPLE_WEIGHT: Final = 14
DATA: Final = 15

MAX_STRING_CHARACTERS: Final = 512
MAX_TRACEPARENT_CHARACTERS: Final = 128
"""Version 00 of a traceparent has 55. A later version may append to them; a longer value is not read."""
MAX_URL_CHARACTERS: Final = 2048
MAX_METHOD_CHARACTERS: Final = 512
MAX_CONSUMER_CHARACTERS: Final = 4096
"""Characters of the consumer's header; the rest of a longer value is no part of the hash."""
_LENGTH_DIGITS: Final = 20
MAX_DATA_ENTRIES: Final = 32
SLOT_BYTES: Final = 768
"""Bytes of memory for an event with `SLOT_CHARACTERS` of text: the tuple, its numbers, its strings."""
SLOT_CHARACTERS: Final = 200
_EMPTY_BYTES: Final = 320
"""The tuple, its numbers, and its place in the queue."""


class DropReason(str, Enum):
    """Why an event was not delivered: the closed set of reasons in the sender record."""

    buffer_full = "buffer_full"
    rejected = "rejected"
    invalid = "invalid"
    shutdown = "shutdown"
    expired = "expired"


def count_slots(event: RawEvent) -> int:
    """Count the slots of `SLOT_BYTES` that an event takes in memory: one, or more if a client sent long texts.

    The names of a route are not counted: all its events share them.
    """
    (
        _,
        method,
        path,
        query,
        _,
        _,
        _,
        _,
        request_bytes,
        _,
        consumer,
        error_type,
        client,
        user_agent,
        _,
        data,
        parent,
    ) = event
    texts = (method, path, query, request_bytes, consumer, error_type, user_agent, parent)
    size = _EMPTY_BYTES + sum(map(getsizeof, texts))
    size += sum(map(getsizeof, client)) if isinstance(client, tuple) else getsizeof(client)
    if data:
        size += getsizeof(data) + sum(getsizeof(key) + getsizeof(value) for key, value in data.items())
    return max(-(-size // SLOT_BYTES), 1)


def clip_event(event: RawEvent) -> RawEvent:
    """Cut the texts that a client can make long. The row of the event stays the same."""
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
        error_type,
        client,
        user_agent,
        sample_weight,
        data,
        traceparent,
    ) = event
    return (
        started_ns,
        method[:MAX_METHOD_CHARACTERS],
        path[: MAX_URL_CHARACTERS + 1],  # one character more shows that the last segment is cut
        query[:MAX_URL_CHARACTERS],
        names,
        status_code,
        response_ns,
        ttfb_ns,
        request_bytes[:_LENGTH_DIGITS] if isinstance(request_bytes, str) else request_bytes,
        response_bytes,
        consumer[:MAX_CONSUMER_CHARACTERS],
        error_type[:MAX_STRING_CHARACTERS],
        _clip_client(client),
        user_agent[:MAX_STRING_CHARACTERS],
        sample_weight,
        data,
        traceparent if len(traceparent) <= MAX_TRACEPARENT_CHARACTERS else "",
    )


def _clip_client(client: str | tuple[str, str, str]) -> str | tuple[str, str, str]:
    if isinstance(client, str):
        return client[:MAX_STRING_CHARACTERS]
    # The last hops of a list count.
    peer, forwarded_for, forwarded = client
    return peer[:MAX_STRING_CHARACTERS], forwarded_for[-MAX_STRING_CHARACTERS:], forwarded[-MAX_STRING_CHARACTERS:]
