"""The event: what an adapter measures of one request, and how it becomes a row of the wire.

An adapter appends a `RawEvent`, a plain tuple in the order of `wire.EVENT_FIELDS` that holds what costs nothing to
take: nanoseconds, path and query apart, a header's bytes for the consumer, the full address. The exporter's thread
turns it into a row: microseconds, masked URL, hashed consumer, truncated address. Nothing raw leaves the process.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from apimetry.middleware.privacy import hash_consumer, public_address, public_url, resolve_client
from apimetry.middleware.wire import EVENT_DEFAULTS

if TYPE_CHECKING:
    from apimetry.middleware.options import Options

RawEvent: TypeAlias = tuple[
    int,  # timestamp_ns: when the request came in, nanoseconds since the epoch
    str,  # method
    str,  # path
    "bytes | str",  # query
    "tuple[str, str]",  # route and function, shared by all requests to them
    int,  # status_code
    int,  # response_ns: up to the last body byte
    "int | None",  # ttfb_ns
    "int | None",  # request_bytes
    "int | None",  # response_bytes
    "str | bytes",  # consumer: an id, or a header's bytes to hash
    str,  # error_type
    "str | tuple[str, str, str]",  # client_ip, whole; or the peer's, with X-Forwarded-For and Forwarded as they came
    str,  # user_agent
    int,  # sample_weight
    "dict[str, str] | None",  # data
]
Row: TypeAlias = tuple[object, ...]

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


def make_row(event: RawEvent, options: Options) -> Row:
    """Turn a raw event into a row of the wire: private parts masked, trailing defaults left out."""
    query = event[3]
    if isinstance(query, bytes):
        query = query.decode("ascii", "replace")
    consumer = event[10]
    if isinstance(consumer, bytes):
        consumer = hash_consumer(consumer, options.write_key) if consumer else ""
    client = event[12]
    if isinstance(client, tuple):
        client = resolve_client(*client, tuple(options.trusted_proxies))
    row = (
        event[0] // 1000,
        event[1][:32],
        public_url(event[2], query, options.url),
        event[4][0],
        event[4][1],
        event[5],
        max(event[6] // 1000, 0),
        None if event[7] is None else max(event[7] // 1000, 0),
        event[8],
        event[9],
        consumer[:MAX_STRING_CHARACTERS],
        event[11][:MAX_STRING_CHARACTERS],
        public_address(client, options.client_ip),
        event[13][:MAX_STRING_CHARACTERS],
        event[14],
        event[15],
    )
    end = len(row)
    while row[end - 1] == EVENT_DEFAULTS[end - 1]:
        end -= 1
    return row[:end]
