"""The event: what an adapter measures of one request, and how it becomes a row of the wire.

An adapter appends a `RawEvent`, a plain tuple in the order of `wire.EVENT_FIELDS` that holds what costs nothing to
take: nanoseconds, path and query apart, a header's bytes for the consumer, the full address. The exporter's thread
turns it into a row: microseconds, masked URL, hashed consumer, truncated address. Nothing raw leaves the process.
"""

from __future__ import annotations

from enum import Enum
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
MAX_DATA_ENTRIES: Final = 32
SLOT_BYTES: Final = 768
"""What an event takes in memory with strings of `SLOT_CHARACTERS` in all: the tuple, its numbers, the strings."""
SLOT_CHARACTERS: Final = 200


class DropReason(str, Enum):
    """Why an event was not delivered: the closed set that the sender record counts by."""

    buffer_full = "buffer_full"
    rejected = "rejected"
    invalid = "invalid"
    shutdown = "shutdown"
    expired = "expired"


def count_slots(event: RawEvent) -> int:
    """Count the slots of `SLOT_BYTES` that an event takes in memory: one, or more for a long URL or for data."""
    extra = len(event[2]) + len(event[3]) + len(event[10]) - SLOT_CHARACTERS
    data = event[15]
    if data:
        extra += 256 + sum(128 + len(key) + len(value) for key, value in data.items())
    # A character outside latin-1 takes two or four bytes; such URLs are rare, so all count double when long.
    return 1 if extra <= 0 else 2 + 2 * extra // SLOT_BYTES
