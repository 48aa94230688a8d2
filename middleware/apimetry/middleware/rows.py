"""How a raw event becomes a row of the wire; in the exporter's thread, and so imported with it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from apimetry.middleware.event import MAX_STRING_CHARACTERS
from apimetry.middleware.privacy import hash_consumer, public_address, public_url, resolve_client
from apimetry.middleware.wire import EVENT_DEFAULTS

if TYPE_CHECKING:
    from apimetry.middleware.event import RawEvent
    from apimetry.middleware.options import Options

Row: TypeAlias = tuple[object, ...]


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
