"""Say what is wrong with a JSON body, in the form for parameters: member, value, what is allowed. Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, get_args

import msgspec

from apimetry.serving.errors import BadRequest

_MAX_SHOWN_CHARACTERS = 80
_PLACED = re.compile(r"(?P<what>.*) - at `\$\.(?P<path>[^`\[]+)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`(?: - at `\$\.(?P<path>[^`\[]+)`)?", re.DOTALL)
_EXPECTED = re.compile(r"Expected (?P<allowed>.*?)(?:, got .*)?", re.DOTALL)
_QUOTED = re.compile(r"`([a-z| ]+)`")
_IN_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a text",
}


def refusal_of(error: msgspec.ValidationError, content: bytes, shape: type[msgspec.Struct]) -> BadRequest:
    """Return the error of a body, `content`, that is JSON and does not fit `shape`."""
    missing = _MISSING.fullmatch(str(error))
    if missing is not None:
        path = f"{missing['path']}." if missing["path"] else ""
        return BadRequest(f"{path}{missing['name']} is missing from the body")
    placed = _PLACED.fullmatch(str(error))
    if placed is not None:
        names = placed["path"].split(".")
        allowed = _allowed(placed["what"], names, shape)
        shown = _shown(content, names)
        if allowed is not None and shown is not None:
            return BadRequest(f"{placed['path']} is {shown}; allowed: {allowed}")
    elif "unknown field" in str(error):
        return BadRequest(f"{error}; allowed: {', '.join(shape.__struct_encode_fields__)}")
    return BadRequest(f"The body is not as it must be: {_in_words(str(error))}")


def _allowed(constraint: str, names: list[str], shape: type[msgspec.Struct]) -> str | None:
    if (expected := _EXPECTED.fullmatch(constraint)) is not None:
        return _in_words(expected["allowed"])
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    enumeration = _enumeration_in(fields.get(names[0])) if len(names) == 1 else None
    return None if enumeration is None else ", ".join(str(member.value) for member in enumeration)


def _enumeration_in(kind: object) -> type[Enum] | None:
    """Return the enumeration in a type, which may be annotated, or a union."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return next(filter(None, map(_enumeration_in, get_args(kind))), None)


def _shown(content: bytes, names: list[str]) -> str | None:
    """Return the value at a path, or None. Of several members with one name, only the last one has a value."""
    try:
        value: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # The decoder stopped at the member that does not fit. What follows the member may not be JSON.
        raise BadRequest(f"The body is not JSON: {error}") from error
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def _in_words(text: str) -> str:
    def words(match: re.Match[str]) -> str:
        kinds = match[1].split(" | ")
        # Text in backticks that is no type is the name of a member.
        return " or ".join(map(_IN_WORDS.__getitem__, kinds)) if set(kinds) <= set(_IN_WORDS) else match[0]

    return _QUOTED.sub(words, text)
