"""The wire format between the middleware and the collector, version 1.

A batch is one HTTP body, ``Content-Type: application/msgpack``, optionally ``Content-Encoding: gzip``:

    {"v": 1, "id": bin(16), "sender": {...}, "events": [row, row, ...]}

- ``v`` is the version. A reader that does not know it refuses the batch and names the versions it reads.
- ``id`` is the batch id. A retry repeats the body byte for byte: one id never stands for two contents.
- ``sender`` describes the sender: ``source``, ``version`` (the host application's), ``library``, ``instance``
  (32 hex digits, one per process, another after a fork), ``started_us``, and the counters ``captured``,
  ``sent`` and ``dropped`` (a map of reason to count): events of this instance up to the time of encoding,
  each counted once whatever its weight. Every field is optional for a reader.
- a row is an array of the values of `EVENT_FIELDS` in that order. A writer may leave trailing values out;
  their defaults (`EVENT_DEFAULTS`) then hold.

How it grows: a new event field is appended to the row, a new fact about the sender or the batch is a new
map key. Readers ignore surplus row values and unknown keys, so neither needs a new version.

Numbers: a row of a typical request is 70 to 90 bytes before compression and 24 to 36 after gzip level 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgpack  # type: ignore[import-untyped]  # it ships no stubs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

VERSION: Final = 1
CONTENT_TYPE: Final = "application/msgpack"
BATCH_ID_BYTES: Final = 16
LIBRARY_VERSION: Final = "0.1.0"
"""The distribution's version. A constant, as the look-up takes a megabyte of imports; a test compares both."""

EVENT_FIELDS: Final = (
    "timestamp_us",
    "method",
    "url",
    "route",
    "function",
    "status_code",
    "response_us",
    "ttfb_us",
    "request_bytes",
    "response_bytes",
    "consumer_id",
    "error_type",
    "client_ip",
    "user_agent",
    "sample_weight",
    "data",
)
"""The order of an event's values: in the middleware's tuple and in a row of the wire."""

METHODS: Final = frozenset(
    (
        *("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"),
        # WebDAV and its extensions: versions, order, access, calendars, search, bindings.
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "ACL"),
        *("VERSION-CONTROL", "CHECKOUT", "CHECKIN", "UNCHECKOUT", "MKWORKSPACE", "UPDATE", "LABEL", "MERGE"),
        *("BASELINE-CONTROL", "MKACTIVITY", "ORDERPATCH", "MKCALENDAR", "MKREDIRECTREF", "UPDATEREDIRECTREF"),
        *("BIND", "REBIND", "UNBIND", "LINK", "UNLINK"),
        # Methods of caches, media servers and UPnP.
        *("PURGE", "BAN", "SOURCE", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "M-SEARCH"),
    )
)
"""Methods that stay as they are: RFC 9110, PATCH, QUERY, WebDAV, and a few that are in use without an RFC."""

OTHER_METHOD: Final = "OTHER"
"""The name for every other method: clients can invent methods, and every name makes a group."""

METHOD_CHARACTERS: Final = 32
"""Characters of such a method that are stored, under the key `method` of the event's data."""

EVENT_DEFAULTS: Final = (0, "", "", "", "", 0, None, None, None, None, "", "", "", "", 1, None)
"""The defaults of values that a row leaves out, in the order of `EVENT_FIELDS`. A time of None is unknown."""


def encode_batch(batch_id: bytes, sender: Mapping[str, object], events: Iterable[tuple[object, ...]]) -> bytes:
    """Encode one batch as the body of a request.

    Strings that are not valid Unicode (lone surrogates) are encoded with replacement characters: a
    malformed header of one request never costs the whole batch.

    Args:
        batch_id: 16 bytes, never used again.
        sender: the sender record; the module's docstring has its keys.
        events: tuples in the order of `EVENT_FIELDS`.

    Raises:
        ValueError: the batch id is not 16 bytes long.
    """
    return join_rows(batch_id, sender, list(map(make_row_encoder(), events)))


def make_row_encoder() -> Callable[[tuple[object, ...]], bytes]:
    """Return a function that encodes one event, a tuple in the order of `EVENT_FIELDS`. For one thread.

    The function raises ValueError, TypeError or OverflowError for a value that the wire cannot carry.
    """
    encode: Callable[[tuple[object, ...]], bytes] = _make_packer().pack
    return encode


def join_rows(batch_id: bytes, sender: Mapping[str, object], rows: Sequence[bytes]) -> bytes:
    """Return the batch of encoded rows; arguments and errors are those of `encode_batch`."""
    if len(batch_id) != BATCH_ID_BYTES:
        raise ValueError(f"batch id: {len(batch_id)} bytes, expected {BATCH_ID_BYTES}")
    packer = _make_packer(autoreset=False)
    packer.pack_map_header(4)
    for value in ("v", VERSION, "id", batch_id, "sender", sender, "events"):
        packer.pack(value)
    packer.pack_array_header(len(rows))
    return b"".join((packer.bytes(), *rows))


def bound_method(method: str) -> tuple[str, str]:
    """Return a method's name, and its text if the name is OTHER: ``("GET", "")``, ``("OTHER", "HACK")``.

    A known method in lower case becomes upper case. An empty one, of a request that could not be read, stays empty.
    """
    known = method if not method or method in METHODS else method.upper()
    if not known or known in METHODS or known == OTHER_METHOD:
        return known, ""
    return OTHER_METHOD, method[:METHOD_CHARACTERS]


def _make_packer(*, autoreset: bool = True) -> Any:  # noqa: ANN401 - msgpack has no types
    return msgpack.Packer(use_bin_type=True, unicode_errors="replace", autoreset=autoreset)
