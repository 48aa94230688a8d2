"""Telling names of segments and parameters: the next text is a secret, unless it is a usual part of a route."""

from __future__ import annotations

import itertools
import re
from enum import IntEnum
from functools import lru_cache
from typing import Final

from apimetry.middleware.route_words import AMBIGUOUS, CODES, LOOSE, ORDINARY, STRICT
from apimetry.middleware.secret_patterns import is_known_id, is_uuid, is_words

_MAX_CACHED: Final = 40
"""Longer names are read from their end, and are not cached."""
_SOME_WORD: Final = re.compile("[A-Za-z]{3}|2[Ff][Aa]|[Pp][Ww]")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


class Doubt(IntEnum):
    """How much of the next text counts as a secret; every level masks more than the one before."""

    NONE = 0
    LATER = 1  # after a telling name, but not next to it: all except words, numbers and identifiers
    LOOSE = 2  # all except words and short numbers
    STRICT = 3  # all except the words of ordinary routes and short numbers
    CODE = 4  # all except the words of ordinary routes, up to the end of the path


_JOINED: Final = re.compile(
    r"(?:token|password|passwd|passphrase|passcode|secret|apikey|credential|signature|sess(?:ion)?id|jwt|csrf"
    r"|(?:reset|forgot|verify|confirm|activate|unsubscribe|invite)(?:password|email|account|user|link))"
    r"s?(?:id|key|hash|value|code)?$"
)
_TELLING: Final = CODES | STRICT | LOOSE
_HINTS: Final = frozenset(word + end for word in (*CODES, *STRICT, *LOOSE, "time", "out") for end in ("", "s"))
"""A telling name has at least one of these words, unless it is written as one word."""
_NUMBERED: Final = re.compile(r"[A-Za-z]{1,12}[0-9]{1,4}")
_BRIEFLY_NUMBERED: Final = re.compile(r"[A-Za-z]{3,12}[0-9]{1,2}")
_CAMEL: Final = re.compile(r"[A-Za-z][a-z]{1,14}(?:[A-Z][a-z]{2,14}){1,5}")
_FORM: Final = re.compile(
    r"v\d{1,3}(?:\.\d{1,3}){0,3}|\d{1,3}(?:\.\d{1,3}){1,3}|[a-z]{2}[\-_][A-Za-z]{2}|\{[A-Za-z_]{1,32}\}"
)
"""A version, a locale, the name of a parameter."""
_DATE: Final = re.compile(r"(?:19|20)\d\d-[01]\d(?:-[0-3]\d(?:T[0-9:.]{5,12}Z?)?)?")
_SEPARATOR: Final = re.compile(r"[\-_.,~ ]")


def find_doubt(name: str) -> Doubt:
    """Return how much of the text after a name counts as a secret. The spelling may be kebab, snake or camel case."""
    if len(name) <= _MAX_CACHED:
        return Doubt.NONE if name.isdecimal() or is_uuid(name) else _find_cached(name)
    return _find_doubt(name[-2 * _MAX_CACHED :])


def _find_doubt(name: str) -> Doubt:
    if _SOME_WORD.search(name) is None:
        return Doubt.NONE
    if is_words(name):
        words = _SEPARATOR.split(name)
        if len(words) > 1 and _HINTS.isdisjoint(words) and not _JOINED.search(words[-1]):
            return Doubt.NONE
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return Doubt.NONE
    joined, last = "".join(words), words[-1]
    pairs = (first + second for first, second in itertools.pairwise(words))
    known = {joined, last, *pairs, *(word for word in words if word not in AMBIGUOUS)}
    if len(words) == 1:
        known.update(_split_words(joined))
    known |= {word.removesuffix("s") for word in known}
    if not known.isdisjoint(CODES):
        return Doubt.CODE
    if not known.isdisjoint(STRICT) or _JOINED.search(joined[-_MAX_CACHED:]):
        return Doubt.STRICT
    return Doubt.NONE if {joined, last, last.removesuffix("s")}.isdisjoint(LOOSE) else Doubt.LOOSE


def _split_words(name: str) -> list[str]:
    """Split a name without separators, ``passwordreset``, into known words; empty if that is impossible."""
    ways: dict[int, list[str]] = {0: []}
    for end in range(3, len(name) + 1):
        for start in range(max(end - 12, 0), end - 1):
            word = name[start:end]
            if start in ways and (word in _TELLING or word in ORDINARY or word.removesuffix("s") in _TELLING):
                ways[end] = [*ways[start], word]
                break
    return ways.get(len(name), [])


_find_cached = lru_cache(maxsize=1024)(_find_doubt)


def is_ordinary(text: str, doubt: Doubt) -> bool:
    """Return whether a text is a usual part of a route, and so no secret, for a doubt."""
    if text.isdecimal():
        return len(text) <= _LONGEST_NUMBER[doubt]
    if len(text) <= 3 or _FORM.fullmatch(text) is not None:
        return True
    if doubt < Doubt.CODE and _DATE.fullmatch(text) is not None:
        return True
    pieces = _SEPARATOR.split(text)
    if doubt >= Doubt.STRICT:
        # `NewPass` is a password; `Reset` and `new-password` are usual segments near passwords.
        is_spelled_plainly = doubt < Doubt.CODE or text[1:].islower()
        return is_spelled_plainly and all(map(_is_route_word, pieces))
    return (doubt == Doubt.LATER and is_known_id(text)) or all(_is_plain(piece, doubt) for piece in pieces)


_LONGEST_NUMBER: Final = {Doubt.LATER: 19, Doubt.LOOSE: 5, Doubt.STRICT: 5, Doubt.CODE: 2}


def _is_route_word(piece: str) -> bool:
    words = [word.lower() for word in _WORD.findall(piece)] if not piece.islower() else [piece]
    return 0 < sum(map(len, words)) == len(piece) and all(w in ORDINARY or w in _TELLING for w in words)


def _is_plain(piece: str, doubt: Doubt) -> bool:
    """Return whether a text is a word, a number, or both together, and not a generated text."""
    if piece.isdecimal():
        return len(piece) <= _LONGEST_NUMBER[doubt]
    if len(piece) <= 3:
        return True
    if piece.isalpha():
        is_word = len(piece) <= 15 and (piece.islower() or piece[1:].islower() or not piece.isascii())
        return is_word or (piece.isupper() and len(piece) <= 5) or _CAMEL.fullmatch(piece) is not None
    return (_NUMBERED if doubt == Doubt.LATER else _BRIEFLY_NUMBERED).fullmatch(piece) is not None
