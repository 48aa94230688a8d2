"""Places among the events of an application, as texts: the id of an event, and the cursor of a page. Pure.

Events are ordered by time, then by the hash of their columns. Events that are equal in both are told apart by a
number alone: they are equal in everything, so it does not matter which of them has which number. So no page loses or
repeats an event, although events have no id of their own.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass

_ID = struct.Struct(">QQI")
# The time range follows: a page asked for without `start` or `end` goes on within the range of the first page.
_CURSOR = struct.Struct(">QQIQQ")


@dataclass(frozen=True)
class Position:
    """The place behind `copies` events with this time and hash; with 0 copies, behind all events of this time."""

    timestamp_us: int
    hash: int
    copies: int


@dataclass(frozen=True)
class Cursor:
    """Where a page begins, and the range of the whole search: `[start, end)`, seconds since the epoch."""

    position: Position
    start: int
    end: int


def event_id(position: Position) -> str:
    """Return the id of the event that is the last of `position.copies`."""
    return _text(_ID.pack(position.timestamp_us, position.hash, position.copies - 1))


def position_of_id(text: str) -> Position | None:
    """Return the position behind the event with this id; None if the text is not an id."""
    content = _bytes(text, _ID)
    if content is None:
        return None
    timestamp_us, hash_, number = _ID.unpack(content)
    return Position(timestamp_us, hash_, number + 1)


def cursor_text(cursor: Cursor) -> str:
    """Return the text of a cursor."""
    place = cursor.position
    return _text(_CURSOR.pack(place.timestamp_us, place.hash, place.copies, cursor.start, cursor.end))


def cursor_of(text: str) -> Cursor | None:
    """Return the cursor of a text; None if the text is not a cursor."""
    content = _bytes(text, _CURSOR)
    if content is None:
        return None
    timestamp_us, hash_, copies, start, end = _CURSOR.unpack(content)
    return Cursor(Position(timestamp_us, hash_, copies), start, end)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str, form: struct.Struct) -> bytes | None:
    """Return the bytes of base64url without padding, if they have the form's length and no other text means them."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if len(content) == form.size and _text(content) == text else None
