"""Match a line against a layout of literal text and fields, from left to right and never back. Pure.

So the time for a line grows with its length alone. A field with a pattern ends where the pattern ends. A field
without a pattern ends at the next literal text, or at the end of the line. If the rest of the line then does not
match, the line is unreadable: no other split is tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apimetry.cli.access_logs.lines import BadLine

_TO_QUOTE = re.compile(r"[^\"\\]*(?:\\.[^\"\\]*)*", re.DOTALL)


class LayoutError(ValueError):
    """A layout that cannot be compiled; the message says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """A variable of a layout."""

    name: str
    """The name in the layout."""
    meaning: str = ""
    """The part of the request that the field has; empty where the field is not read."""
    pattern: re.Pattern[str] | None = None
    """The pattern of the value; None for any text."""
    adjacent: re.Pattern[str] | None = None
    """The pattern where another field follows directly."""
    unquoted: re.Pattern[str] | None = None
    """The pattern where no quote follows, because the value may contain the text that follows."""


Part = str | Field
Values = dict[str, tuple[str, str]]
"""The name of a field and its text in the line, by meaning."""


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled layout; `unescape` removes the escapes of its server."""

    parts: Sequence[Part]
    unescape: Callable[[str], str]
    escapes_quotes: bool = True

    def match(self, line: str) -> Values:
        """Return the values of the line, by meaning; raise BadLine."""
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
            end = -1 if match is None else _end_before(following, line, position, match.end())
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


def _end_before(following: Part | None, line: str, position: int, end: int) -> int:
    """Return the end of a field whose pattern also matches the following text, as an address matches `:port`."""
    if not isinstance(following, str) or line.startswith(following, end):
        return end
    start = line.rfind(following, position, end)
    return end if start < 0 else start


def check_template(template: Template) -> Template:
    """Return the template; raise LayoutError where it has no request, no status, or a field without an end."""
    meanings = {part.meaning for part in template.parts if isinstance(part, Field)}
    if "status" not in meanings:
        raise LayoutError("it has no status ($status, %>s)")
    if not meanings & {"request", "target", "path"}:
        raise LayoutError("it has no request ($request, $request_uri, %r, %U)")
    for field, following in zip(template.parts, template.parts[1:], strict=False):
        if isinstance(field, Field) and isinstance(following, Field) and not (field.pattern or field.adjacent):
            raise LayoutError(f"nothing stands between {field.name} and {following.name}: where does the first end?")
    return template
