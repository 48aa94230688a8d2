"""Handle an event that the fast path refused: cut its strings to their limits, or describe its fault."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from apimetry.collector.formats.event_structs import (
    DATA_ENTRIES_LIMIT,
    DATA_KEY_LIMIT,
    DATA_VALUE_LIMIT,
    STRING_LIMITS,
    LenientJSONEvent,
    LenientWireEvent,
)
from apimetry.serving.errors import Detail

Repairable = TypeVar("Repairable", LenientJSONEvent, LenientWireEvent)

_PATH = re.compile(r" - at `\$(?:\.(?P<name>\w+)|\[(?P<position>\d+)\])?.*`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>\w+)`")


def cut(text: str, limit: int) -> tuple[str, int]:
    """Return the text within its limit, and 1 if it was cut, else 0."""
    return (text, 0) if len(text) <= limit else (text[:limit], 1)


def repair(event: Repairable) -> tuple[Repairable, int]:
    """Return the event with every string within its limit, and the number of cut strings."""
    changes: dict[str, object] = {}
    cut_strings = 0
    for name, limit in STRING_LIMITS.items():
        text = getattr(event, name, None)
        if text is not None and len(text) > limit:
            changes[name] = text[:limit]
            cut_strings += 1
    if event.data:
        data, cut_data = _cut_data(event.data)
        if cut_data:
            changes["data"] = data
            cut_strings += cut_data
    return (msgspec.structs.replace(event, **changes) if changes else event), cut_strings


def _cut_data(data: dict[str, str]) -> tuple[dict[str, str], int]:
    """Return the first DATA_ENTRIES_LIMIT entries, cut; if two cut keys are equal, the first entry holds."""
    entries: dict[str, str] = {}
    cut_strings = max(0, len(data) - DATA_ENTRIES_LIMIT)
    for key, value in list(data.items())[:DATA_ENTRIES_LIMIT]:
        short_key, cut_key = cut(key, DATA_KEY_LIMIT)
        short_value, cut_value = cut(value, DATA_VALUE_LIMIT)
        entries.setdefault(short_key, short_value)
        cut_strings += cut_key + cut_value
    return entries, cut_strings


def describe(index: int, error: Exception, fields: Sequence[str]) -> Detail:
    """Return a decoding error as a Detail; `fields` has the names of the positions of an array."""
    if isinstance(error, UnicodeDecodeError):
        return Detail(index, "", "a string is not valid UTF-8")
    if isinstance(error, RecursionError):
        return Detail(index, "", "nested too deeply")
    message = str(error)
    path, missing = _PATH.search(message), _MISSING.search(message)
    if missing:
        return Detail(index, missing["name"], "this field is required")
    if path is None:
        return Detail(index, "", message)
    return Detail(index, _field_name(path, fields), message[: path.start()])


def _field_name(path: re.Match[str], fields: Sequence[str]) -> str:
    if path["name"]:
        return path["name"]
    position = int(path["position"] or len(fields))
    return fields[position] if position < len(fields) else ""
