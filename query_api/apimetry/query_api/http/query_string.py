"""Read the parameters of a query string: text in, checked values out. Pure.

An empty parameter counts as absent, an unknown one is refused, and a refusal names the parameter,
its value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from apimetry.serving.errors import BadRequest

# 9,999,999,999 s is the year 2286. A number with one more digit is a time in milliseconds, or a mistake.
MAX_TIME_S = 9_999_999_999
WHOLE_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
MAX_SEARCH_CHARACTERS = 200
FLAGS = ("0", "1")
PARTIAL = "partial"
# The check of the key reads `application`, `lost_shards` reads `partial`. jQuery adds `_` so that no cache answers.
_READ_ELSEWHERE = frozenset({"application", PARTIAL, "_"})
# Long enough to recognize the value, short enough for a log line or a terminal.
_SHOWN_CHARACTERS = 80
# A signed number of 64 bits has 19 digits at most. int() is slow for very long texts.
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)


def refusal(name: str, value: str, allowed: str) -> BadRequest:
    """Return the error of a parameter."""
    shown = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…"
    return BadRequest(f"{name} is {shown!r}; allowed: {allowed}")


def collect(parameters: Iterable[tuple[str, str]], known: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each `known` parameter, in the order of the query string.

    Raises:
        BadRequest: a parameter is not known.
    """
    values: dict[str, list[str]] = {name: [] for name in known}
    for name, value in parameters:
        if not value or name in _READ_ELSEWHERE:
            continue
        # The response without a misspelt filter would be wrong and would look right.
        if name not in values:
            raise refusal("a parameter's name", name, ", ".join((*known, "application")))
        values[name].append(value)
    return values


def single(values: dict[str, list[str]], name: str) -> str | None:
    """Return the one value of a parameter, or None where it is absent.

    Raises:
        BadRequest: the parameter has several values.
    """
    if len(set(values[name])) > 1:
        raise refusal(name, ", ".join(values[name]), "one value")
    return values[name][0] if values[name] else None


def several(values: dict[str, list[str]], name: str, allowed: Sequence[str], most: int) -> tuple[str, ...]:
    """Return the distinct values of a repeatable parameter after checking that they are `most` of `allowed`."""
    distinct = tuple(dict.fromkeys(values[name]))
    for value in distinct:
        one_of(name, value, allowed)
    if len(distinct) > most:
        raise refusal(name, ", ".join(distinct), f"up to {most} values")
    return distinct


def one_of(name: str, value: str | None, allowed: Sequence[str]) -> str | None:
    """Return `value` after checking that it is one of `allowed`."""
    if value is not None and value not in allowed:
        raise refusal(name, value, ", ".join(allowed))
    return value


def search_text(values: dict[str, list[str]], name: str = "search") -> str | None:
    """Return a text to search for, of up to MAX_SEARCH_CHARACTERS."""
    text = single(values, name)
    if text is not None and len(text) > MAX_SEARCH_CHARACTERS:
        raise refusal(name, text, f"up to {MAX_SEARCH_CHARACTERS} characters")
    return text


def flag(values: dict[str, list[str]], name: str) -> bool:
    """Return whether a parameter that is 0 or 1 is 1; absent is 0."""
    return one_of(name, single(values, name), FLAGS) == "1"


def time_s(name: str, value: str) -> int:
    """Return a time in whole seconds since the epoch."""
    if not WHOLE_NUMBER.fullmatch(value):
        raise refusal(name, value, f"whole seconds since the epoch, 0 to {MAX_TIME_S} (not milliseconds)")
    return int(value)


def number_in(name: str, value: str, allowed: range, meaning: str = "a whole number") -> int:
    """Return a whole number within `allowed`."""
    if not _DIGITS.fullmatch(value) or int(value) not in allowed:
        raise refusal(name, value, f"{meaning}, {allowed.start} to {allowed.stop - 1}")
    return int(value)
