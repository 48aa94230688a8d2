"""Translate the routes of all frameworks to one spelling: ``/v1/scores/{identity}``. Text in, text out."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PARAMETER: Final = re.compile("{[^{}]*}")
_BOTTLE: Final = re.compile(
    r"<([A-Za-z_]\w{0,99})?(?::[A-Za-z_]{0,99}(?::(?:\\.|[^\\>]){1,256})?)?>"
    r"|:([A-Za-z_]\w{0,99})(?:\#(?:\\.|[^\#\\]){0,256}\#)?"
)
_PYRAMID_REST: Final = re.compile(r"\*(\w+)$")
_OLD_PYRAMID: Final = re.compile(r"/:(\w+)")
_REGEX_SIGN: Final = re.compile(r"[\^$\\?*|\[]|\.\+|\)[+{]")
_GROUP_NAME: Final = re.compile(r"\?P?<(\w+)>")
_QUANTIFIER: Final = re.compile(r"(?:[*+?]|{(\d{0,9})(?:,\d{0,9})?})[?+]?")


@lru_cache(maxsize=1024)
def werkzeug_template(rule: str) -> str:
    """Return the template of a Werkzeug rule, ``/v1/scores/<int:identity>``; a converter may have any arguments."""
    pieces: list[str] = []
    position = 0
    while (start := rule.find("<", position)) >= 0 and (end := _find_end_of_converter(rule, start + 1)) > 0:
        # The name comes last and has no colon.
        pieces += rule[position:start], "{", rule[start + 1 : end].rpartition(":")[2].strip(), "}"
        position = end + 1
    return "".join(pieces) + rule[position:]


def _find_end_of_converter(rule: str, start: int) -> int:
    """Find the ``>`` outside of arguments: ``<regex("(a|b)>"):name>``; -1 without one."""
    quote, depth, index = "", 0, start
    while index < len(rule):
        character = rule[index]
        if quote:
            index += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"" and depth:
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == ">" and depth <= 0:
            return index
        index += 1
    return rule.find(">", start)


def bottle_template(rule: str) -> str:
    """Return the template of a Bottle rule: ``<identity:int>``, ``<name:re:[a-z]+>``, and the old ``:name``."""
    number = iter(range(len(rule)))
    return _BOTTLE.sub(lambda match: f"{{{match[1] or match[2] or next(number)}}}", rule)


def brace_template(path: str) -> str:
    r"""Remove converters and patterns from braces: ``{identity:int}``, ``{code:\d{2,3}}``, ``{at:dt("%H:%M")}``."""
    pieces: list[str] = []
    position = 0
    while (start := path.find("{", position)) >= 0 and (end := _find_end(path, start, "{}")) > 0:
        pieces += path[position:start], "{", path[start + 1 : end].partition(":")[0].strip(), "}"
        position = end + 1
    return "".join(pieces) + path[position:]


def pyramid_template(pattern: str) -> str:
    r"""Return the template of a Pyramid pattern: ``/v1/{identity}/{rest}`` of ``/v1/{identity:\d+}/*rest``."""
    spelled = _PYRAMID_REST.sub(r"{\1}", _OLD_PYRAMID.sub(r"/{\1}", brace_template(pattern)))
    return "/" + spelled.lstrip("/")


@lru_cache(maxsize=1024)
def django_template(route: str) -> str:
    r"""Return a Django route's template: ``/v1/{identity}`` of ``v1/<int:identity>`` or ``^v1/(?P<identity>\d+)/?$``.

    Optional parts without a parameter are left out; a parameter without a name gets a number.
    """
    if _REGEX_SIGN.search(route):
        # include() joins patterns: one route may have both spellings.
        route = "".join(_Regex(route).spell())
    return "/" + werkzeug_template(route).lstrip("/")


class _Regex:
    """Turn a regular expression into a template; `number` is the number of the next parameter."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.number = 0

    def spell(self, start: int = 0, end: int | None = None) -> list[str]:
        """Return the pieces of a part: characters, parameters, and the texts of optional groups."""
        pattern, pieces = self._pattern, list[str]()
        end = len(pattern) if end is None else end
        while start < end:
            piece, start = self._spell_next(start, end)
            quantifier = _QUANTIFIER.match(pattern, start, end)
            if quantifier is not None:
                start = quantifier.end()
                is_optional = quantifier[0][0] in "*?" or quantifier[1] in ("", "0")
                piece = "" if is_optional and "{" not in piece and piece != _ANONYMOUS else piece
            if not (piece == _ANONYMOUS and pieces and pieces[-1].startswith(_ANONYMOUS)):
                pieces.append(self._count(piece))
        return [piece.removeprefix(_ANONYMOUS) for piece in pieces]

    def _count(self, piece: str) -> str:
        if piece == _ANONYMOUS:
            piece = f"{_ANONYMOUS}{{{self.number}}}"
            self.number += 1
        return piece

    def _spell_next(self, start: int, end: int) -> tuple[str, int]:
        """Return the piece at a position, and the position of the next piece."""
        pattern, character = self._pattern, self._pattern[start]
        following = pattern[start + 1 : start + 2]
        if character == "\\":
            plain = "" if following in "AZzbB" else _ANONYMOUS if following in "dDwWsS" else following
            return plain, start + 2
        if character == "[":
            return _ANONYMOUS, _find_end_of_class(pattern, start) + 1
        if character == "(":
            closing = _find_end(pattern, start, "()")
            closing = end if closing < 0 else closing
            return self._spell_group(start + 1, closing), closing + 1
        if character == "." and following in ("*", "+", "{"):
            return _ANONYMOUS, start + 1
        return "" if character in "^$" else character, start + 1

    def _spell_group(self, start: int, end: int) -> str:
        inside = self._pattern[start:end]
        name = _GROUP_NAME.match(inside)
        if name is not None:
            self.number += 1
            return f"{{{name[1]}}}"
        if not inside.startswith("?"):
            return "" if inside == "/" else _ANONYMOUS
        colon = inside.find(":")
        if colon < 0 or inside[1] in "=!<#P" or "|" in inside:
            return (
                _ANONYMOUS if "|" in inside and inside[1] == ":" else ""
            )  # the other groups are look-arounds or flags
        return "".join(self.spell(start + colon + 1, end))


_ANONYMOUS: Final = "\0"


def _find_end_of_class(pattern: str, start: int) -> int:
    index = start + 1 + pattern.startswith("^", start + 1)
    index += pattern.startswith("]", index)  # a leading bracket is a member
    while index < len(pattern) and pattern[index] != "]":
        index += 2 if pattern[index] == "\\" else 1
    return index


def _find_end(pattern: str, start: int, pair: str) -> int:
    """Find the end of a parenthesis or a brace, past inner ones, escapes and character sets; -1 without one."""
    depth, index = 0, start
    while index < len(pattern):
        character = pattern[index]
        if character == "\\":
            index += 1
        elif character == "[" and pair == "()":
            index = _find_end_of_class(pattern, index)
        elif character in pair:
            depth += 1 if character == pair[0] else -1
            if depth == 0:
                return index
        index += 1
    return -1


def fits(template: str, path: str, *, spans: bool = False) -> bool:
    """Return whether a template may match a path. With `spans` a parameter may contain slashes."""
    if spans:
        return _fits_piece(template, path)
    templates, segments = template.split("/"), path.split("/")
    return len(templates) == len(segments) and all(map(_fits_piece, templates, segments))


def _fits_piece(template: str, text: str) -> bool:
    """Match the literals from left to right, at the first place. A pattern could need quadratic time."""
    first, *rest = _PARAMETER.split(template)
    if not rest or not text.startswith(first):
        return text == first and not rest
    position, last = len(first), rest.pop()
    for literal in rest:
        position = text.find(literal, position + 1)
        if position < 0:
            return False
        position += len(literal)
    return len(text) - len(last) > position and text.endswith(last)
