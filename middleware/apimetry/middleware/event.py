"""The event: what an adapter measures of one request, and how it becomes a row of the wire.

An adapter appends a `RawEvent`, a plain tuple in the order of `wire.EVENT_FIELDS` that holds what costs nothing to
take: nanoseconds, path and query apart, a header's bytes for the consumer, the full address. The exporter's thread
turns it into a row: microseconds, masked URL, hashed consumer, truncated address. Nothing raw leaves the process.
"""

from __future__ import annotations

from enum import Enum
from operator import itemgetter
from sys import getsizeof
from typing import Final, TypeAlias

RawEvent: TypeAlias = tuple[
    int,  # started_ns: when the request came in, by `time.perf_counter_ns`; the exporter knows the epoch
    str,  # method
    str,  # path
    "bytes | str",  # query
    "tuple[str, str]",  # route and function, shared by all requests to them
    int,  # status_code
    int,  # response_ns: up to the last body byte
    "int | None",  # ttfb_ns; None: the response came in one piece, at its end
    "int | str | None",  # request_bytes; or a Content-Length as it came
    "int | None",  # response_bytes; an answer to HEAD may have those that were held back
    "str | bytes",  # consumer: what the host's callable said, or a header's value, to be hashed
    str,  # error_type
    "str | tuple[str, str, str]",  # client_ip, whole; or the peer's, with X-Forwarded-For and Forwarded as they came
    str,  # user_agent
    int,  # sample_weight
    "dict[str, str] | None",  # data
]

MAX_STRING_CHARACTERS: Final = 512
MAX_URL_CHARACTERS: Final = 2048
MAX_METHOD_CHARACTERS: Final = 512
MAX_CONSUMER_CHARACTERS: Final = 4096
"""Of a header whose value stands for the consumer; what comes behind is no part of the hash."""
_LENGTH_DIGITS: Final = 20
MAX_DATA_ENTRIES: Final = 32
SLOT_BYTES: Final = 768
"""What an event takes in memory with strings of `SLOT_CHARACTERS` in all: the tuple, its numbers, the strings."""
SLOT_CHARACTERS: Final = 200
_EMPTY_BYTES: Final = 320
"""The tuple, its numbers, and its place in the queue."""
_TEXTS: Final = itemgetter(1, 2, 3, 10, 11, 13)


class DropReason(str, Enum):
    """Why an event was not delivered: the closed set that the sender record counts by."""

    buffer_full = "buffer_full"
    rejected = "rejected"
    invalid = "invalid"
    shutdown = "shutdown"
    expired = "expired"


def count_slots(event: RawEvent) -> int:
    """Count the slots of `SLOT_BYTES` that an event takes in memory: one, or more where a client has sent long texts.

    What all events of a route share, its names, is not counted.
    """
    client, data, texts = event[12], event[15], _TEXTS(event)
    size = _EMPTY_BYTES + sum(map(getsizeof, texts)) + getsizeof(event[8])
    size += sum(map(getsizeof, client)) if isinstance(client, tuple) else getsizeof(client)
    if data:
        size += getsizeof(data) + sum(getsizeof(key) + getsizeof(value) for key, value in data.items())
    return max(-(-size // SLOT_BYTES), 1)


def clip_event(event: RawEvent) -> RawEvent:
    """Cut what a client can make long to what will be used of it. No text that is cut changes what is sent."""
    request_bytes = event[8]
    return (
        event[0],
        event[1][:MAX_METHOD_CHARACTERS],
        event[2][: MAX_URL_CHARACTERS + 1],  # one more, so that the last segment is seen to be cut
        event[3][:MAX_URL_CHARACTERS],
        *event[4:8],
        request_bytes[:_LENGTH_DIGITS] if isinstance(request_bytes, str) else request_bytes,
        event[9],
        event[10][:MAX_CONSUMER_CHARACTERS],
        event[11][:MAX_STRING_CHARACTERS],
        _clip_client(event[12]),
        event[13][:MAX_STRING_CHARACTERS],
        *event[14:],
    )


def _clip_client(client: str | tuple[str, str, str]) -> str | tuple[str, str, str]:
    if isinstance(client, str):
        return client[:MAX_STRING_CHARACTERS]
    # Of a list of hops the last ones count.
    peer, forwarded_for, forwarded = client
    return peer[:MAX_STRING_CHARACTERS], forwarded_for[-MAX_STRING_CHARACTERS:], forwarded[-MAX_STRING_CHARACTERS:]
