"""A layout: literal text and fields in turn, matched against a line from left to right, never back. Pure.

So the time that a line takes grows with its length alone. A field with a pattern is what the pattern matches; one
without reaches to the next literal text, or to the end of the line. Where the rest then does not fit, the line is
unreadable: it is never split in another way that would fit too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apimetry.cli.access_logs.lines import BadLine

_TO_QUOTE = re.compile(r"[^\"\\]*(?:\\.[^\"\\]*)*", re.DOTALL)


class LayoutError(ValueError):
    """A description that cannot be made into a parser; the message says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """A variable of a layout."""

    name: str
    """As it is written in the layout."""
    meaning: str = ""
    """What it tells of a request; empty where it does not matter."""
    pattern: re.Pattern[str] | None = None
    """All that it can be; None where that is any text."""
    adjacent: re.Pattern[str] | None = None
    """What it is where another field follows at once."""
    unquoted: re.Pattern[str] | None = None
    """What it is where no quote follows, and it may hold the text that does follow."""


Part = str | Field
Values = dict[str, tuple[str, str]]
"""By meaning: the field's name, and its text in the line."""


@dataclass(frozen=True, slots=True)
class Template:
    """A layout that can be matched; `unescape` undoes what its server does to text."""

    parts: Sequence[Part]
    unescape: Callable[[str], str]
    escapes_quotes: bool = True

    def match(self, line: str) -> Values:
        """Return what the line says, by meaning; raises BadLine."""
        values: Values = {}
        position = 0
        for index, part in enumerate(self.parts):
            if isinstance(part, str):
                if not line.startswith(part, position):
                    raise BadLine("it does not have the given --log-format")
                position += len(part)
                continue
            following = self.parts[index + 1] if index + 1 < len(self.parts) else None
            end = self._end_of(part, following, line, position)
            if part.meaning and part.meaning not in values:
                values[part.meaning] = (part.name, self.unescape(line[position:end]))
            position = end
        if line[position:].strip():
            raise BadLine("it goes on where the given --log-format ends")
        return values

    def _end_of(self, field: Field, following: Part | None, line: str, position: int) -> int:
        pattern = field.pattern or self._pattern_before(field, following)
        if pattern is not None:
            match = pattern.match(line, position)
            end = -1 if match is None else _before(following, line, position, match.end())
        elif following is None:
            end = len(line)
        elif not isinstance(following, str):
            raise LayoutError(f"nothing stands between {field.name} and {following.name}")
        elif following.startswith('"') and self.escapes_quotes:
            match = _TO_QUOTE.match(line, position)
            end = -1 if match is None or not line.startswith(following, match.end()) else match.end()
        else:
            end = line.find(following, position)
        if end < 0:
            raise BadLine("it does not have the given --log-format")
        return end

    @staticmethod
    def _pattern_before(field: Field, following: Part | None) -> re.Pattern[str] | None:
        if isinstance(following, Field):
            return field.adjacent
        if following is None or following.startswith(" "):
            return field.unquoted
        return None


def _before(following: Part | None, line: str, position: int, end: int) -> int:
    """Return where a field ends that could hold what follows it too, as an address could a colon and its port."""
    if not isinstance(following, str) or line.startswith(following, end):
        return end
    found = line.rfind(following, position, end)
    return end if found < 0 else found


def checked(template: Template) -> Template:
    """Return the template; raises LayoutError where it cannot tell a request, or where a field ends."""
    meanings = {part.meaning for part in template.parts if isinstance(part, Field)}
    if "status" not in meanings:
        raise LayoutError("it has no status ($status, %>s)")
    if not meanings & {"request", "target", "path"}:
        raise LayoutError("it has no request ($request, $request_uri, %r, %U)")
    for field, following in zip(template.parts, template.parts[1:], strict=False):
        if isinstance(field, Field) and isinstance(following, Field) and not (field.pattern or field.adjacent):
            raise LayoutError(f"nothing stands between {field.name} and {following.name}: where does the first end?")
    return template
