"""How each framework spells a route, in one spelling: ``/v1/scores/{identity}``. Text in, text out."""

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
    """Spell a Werkzeug rule: ``/v1/scores/<int:identity>``; a converter may have arguments of any kind."""
    pieces: list[str] = []
    position = 0
    while (start := rule.find("<", position)) >= 0 and (end := _find_end_of_converter(rule, start + 1)) > 0:
        # The name is last, and has no colon.
        pieces += rule[position:start], "{", rule[start + 1 : end].rpartition(":")[2].strip(), "}"
        position = end + 1
    return "".join(pieces) + rule[position:]


def _find_end_of_converter(rule: str, start: int) -> int:
    """Find the ``>`` that stands in no argument: ``<regex("(a|b)>"):name>``; -1 where there is none."""
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
    """Spell a Bottle rule: ``/v1/scores/<identity:int>``, ``<name:re:[a-z]+>``, and ``:name`` as it was once."""
    number = iter(range(len(rule)))
    return _BOTTLE.sub(lambda match: f"{{{match[1] or match[2] or next(number)}}}", rule)


def brace_template(path: str) -> str:
    r"""Leave converters and patterns out of braces: ``{identity:int}``, ``{code:\d{2,3}}``, ``{at:dt("%H:%M")}``."""
    pieces: list[str] = []
    position = 0
    while (start := path.find("{", position)) >= 0 and (end := _find_end(path, start, "{}")) > 0:
        pieces += path[position:start], "{", path[start + 1 : end].partition(":")[0].strip(), "}"
        position = end + 1
    return "".join(pieces) + path[position:]


def pyramid_template(pattern: str) -> str:
    r"""Spell a Pyramid pattern: ``/v1/{identity:\d+}/*rest`` is ``/v1/{identity}/{rest}``."""
    spelled = _PYRAMID_REST.sub(r"{\1}", _OLD_PYRAMID.sub(r"/{\1}", brace_template(pattern)))
    return "/" + spelled.lstrip("/")


@lru_cache(maxsize=1024)
def django_template(route: str) -> str:
    r"""Spell a Django route: ``v1/<int:identity>`` and ``^v1/(?P<identity>\d+)/?$`` are ``/v1/{identity}``.

    What is optional and has no parameter is left out; a parameter without a name has its number.
    """
    if _REGEX_SIGN.search(route):
        # include() joins patterns, so that one route may have both spellings.
        route = "".join(_Regex(route).spell())
    return "/" + werkzeug_template(route).lstrip("/")


class _Regex:
    """A regular expression that becomes a template; `number` is the next parameter's."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.number = 0

    def spell(self, start: int = 0, end: int | None = None) -> list[str]:
        """Return the pieces of a part: a character or a parameter each, or an optional group's text."""
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
        """Spell what stands at a place; returns it and where the next begins."""
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
            return _ANONYMOUS if "|" in inside and inside[1] == ":" else ""  # or it looks around, or sets flags
        return "".join(self.spell(start + colon + 1, end))


_ANONYMOUS: Final = "\0"


def _find_end_of_class(pattern: str, start: int) -> int:
    index = start + 1 + pattern.startswith("^", start + 1)
    index += pattern.startswith("]", index)  # the first one is a member
    while index < len(pattern) and pattern[index] != "]":
        index += 2 if pattern[index] == "\\" else 1
    return index


def _find_end(pattern: str, start: int, pair: str) -> int:
    """Find what closes a parenthesis or a brace, over inner ones, escapes and sets of characters; -1: nothing."""
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
    """Tell whether a path may be one of a template. With `spans` a parameter may have slashes in it."""
    if spans:
        return _fits_piece(template, path)
    templates, segments = template.split("/"), path.split("/")
    return len(templates) == len(segments) and all(map(_fits_piece, templates, segments))


def _fits_piece(template: str, text: str) -> bool:
    """Match without a pattern, whose time could grow with a power of the text: each literal as early as it can be."""
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
