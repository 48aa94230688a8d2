"""The event: the facts that an adapter measures of one request.

An adapter records a `RawEvent`, a plain tuple. Its values cost nothing to read: nanoseconds, the path and the query
apart, the bytes of the consumer's header, the whole address. What few events have is in a tuple at its end. The
exporter's thread turns the event into a row of the wire: microseconds, a masked URL, a hashed consumer, a truncated
address. No raw value leaves the process. A NamedTuple in its place would cost every request 0.5 µs more.
"""

from __future__ import annotations

from enum import Enum
from sys import getsizeof
from typing import Final, TypeAlias

Details: TypeAlias = tuple[
    str,  # error_type
    "str | tuple[str, str, str]",  # client_ip, whole; or the peer's, X-Forwarded-For and Forwarded
    str,  # user_agent
    "dict[str, str] | None",  # data
]

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
    "str | bytes",  # traceparent: the header of W3C's trace context
    int,  # sample_weight
    "Details | None",  # details: None if all of them are empty
]

# Positions in a `RawEvent`.
STATUS_CODE: Final = 5
RESPONSE_NS: Final = 6
SAMPLE_WEIGHT: Final = 12
DETAILS: Final = 13
NO_DETAILS: Final[Details] = ("", "", "", None)

MAX_STRING_CHARACTERS: Final = 512
MAX_TRACEPARENT_CHARACTERS: Final = 128
"""Version 00 of a traceparent has 55. A later version may append to them; a longer value is not read."""
MAX_URL_CHARACTERS: Final = 2048
MAX_METHOD_CHARACTERS: Final = 512
MAX_CONSUMER_CHARACTERS: Final = 4096
"""Characters of the consumer's header; the rest of a longer value is no part of the hash."""
LENGTH_DIGITS: Final = 20
"""Digits of a Content-Length that are kept. A longer one is not true."""
MAX_DATA_ENTRIES: Final = 32
SLOT_BYTES: Final = 768
"""Bytes of memory for an event with `SLOT_CHARACTERS` of text: the tuple, its numbers, its strings."""
SLOT_CHARACTERS: Final = 200
_EMPTY_BYTES: Final = 320
"""The tuples, their numbers, and the place in the queue. Empty texts, which take nothing, are counted beside it."""


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
    _, method, path, query, _, _, _, _, request_bytes, _, consumer, traceparent, _, details = event
    error_type, client, user_agent, data = details or NO_DETAILS
    texts = (method, path, query, request_bytes, consumer, error_type, user_agent, traceparent)
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
        traceparent,
        sample_weight,
        details,
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
        request_bytes[:LENGTH_DIGITS] if isinstance(request_bytes, str) else request_bytes,
        response_bytes,
        consumer[:MAX_CONSUMER_CHARACTERS],
        traceparent if len(traceparent) <= MAX_TRACEPARENT_CHARACTERS else "",
        sample_weight,
        details if details is None else _clip_details(details),
    )


def _clip_details(details: Details) -> Details:
    error_type, client, user_agent, data = details
    if isinstance(client, tuple):
        peer, *lists = client
        # The last hops of a list count.
        forwarded_for, forwarded = (hops[-MAX_STRING_CHARACTERS:] for hops in lists)
        client = peer[:MAX_STRING_CHARACTERS], forwarded_for, forwarded
    else:
        client = client[:MAX_STRING_CHARACTERS]
    return error_type[:MAX_STRING_CHARACTERS], client, user_agent[:MAX_STRING_CHARACTERS], data
