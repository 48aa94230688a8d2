"""Parse the common and combined formats of Apache and nginx, also with text before and after them. Pure.

Sources: Apache's mod_log_config, nginx's ngx_http_log_module. gunicorn's default format is the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from apimetry.cli.access_logs.durations import Duration, in_unit, labelled, with_unit
from apimetry.cli.access_logs.lines import US_PER_S, BadLine, LogLine, Parser, dash_as_empty, read_size, read_status
from apimetry.cli.access_logs.requests import read_address, read_request, unescape
from apimetry.cli.access_logs.times import clf_time_us

# The name of a user can contain brackets, but no quote. So only a time before a quote is the time of the request.
TIME = re.compile(r"\[(?P<time>\d\d?/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?: [+-]\d{4})?)\] \"")
_QUOTED = re.compile(r"(?P<text>[^\"\\]*(?:\\.[^\"\\]*)*)\"", re.DOTALL)
_NUMBERS = re.compile(r" (?P<status>\d{3}) (?P<size>\d{1,16}|-)(?= |\Z)")
_MAX_TAIL_CHARACTERS = 4096
_MAX_WORDS = 64
_WORD = re.compile(r"(?P<word>[^\s\"]*)(?:\"(?P<quoted>[^\"\\]*(?:\\.[^\"\\]*)*)\")?(?:\s{1,16}|\Z)", re.DOTALL)
_NAMED = re.compile(r"\A(?P<name>[$A-Za-z_][A-Za-z0-9_-]{0,31})[=:](?P<value>.{0,32})\Z")
_NUMBER = re.compile(r"\A\d{1,15}(?:\.\d{1,9})?\Z")
_SEPARATORS = ",;|()[]"

Word = tuple[str, "str | None"]
"""A word after a line: the text before a quote, and the quoted text, None without a quote."""


def combined(text: str) -> LogLine:
    """Parse a line of the common or combined format; read a response time after it where a name or unit marks it."""
    return _parse(text, find_duration)


def combined_in(unit_us: int, unit: str) -> Parser:
    """Return a parser of lines with one more number after the user agent or the size: the response time."""

    def only_number(words: list[Word]) -> Duration:
        named = _find_named(words)
        if named is not None:
            return named
        texts = [word if quoted is None else quoted for word, quoted in words]
        numbers = [text for text in texts if _NUMBER.match(text)]
        if len(numbers) > 1:
            raise BadLine("more than one number follows the line: which is the time?")
        if not numbers and set(texts) - {"-", ""}:
            raise BadLine("no number follows the line")
        return in_unit(numbers[0] if numbers else "-", unit_us), f"the number after the line ({unit})"

    return lambda text: _parse(text, only_number)


combined_s = combined_in(US_PER_S, "seconds")
combined_us = combined_in(1, "microseconds")
combined_ms = combined_in(1000, "milliseconds")


def read_common(text: str) -> tuple[LogLine, int]:
    """Return the request of the common format, without response time, and where its text ends; raise BadLine."""
    match = TIME.search(text)
    if match is None:
        raise BadLine("it is not in the combined format")
    return _read_from(text, match, clf_time_us(match["time"]))


def _read_from(text: str, time: re.Match[str], time_us: int) -> tuple[LogLine, int]:
    request = _QUOTED.match(text, time.end())
    numbers = _NUMBERS.match(text, request.end()) if request else None
    if request is None or numbers is None:
        raise BadLine("it is not in the combined format")
    method, target = read_request(unescape(request["text"]))
    address, user = read_head(text[: time.start()])
    line = LogLine(
        time_us=time_us,
        method=method,
        target=target,
        status=read_status(numbers["status"]),
        response_bytes=read_size(numbers["size"]),
        address=address,
        user=user,
    )
    return line, numbers.end()


def read_without_zone(text: str, read_time: Callable[[str], int]) -> LogLine | None:
    """Parse a line of the common format whose time has no zone; return None for another text; raise BadLine."""
    match = TIME.search(text)
    if match is None:
        return None
    if match["time"][-5:-4] in {"+", "-"}:
        raise BadLine("it is not a line of a development server")
    line, _ = _read_from(text, match, read_time(match["time"]))
    return line


def _parse(text: str, duration_of: Callable[[list[Word]], Duration]) -> LogLine:
    line, end = read_common(text)
    tail = text[end : end + _MAX_TAIL_CHARACTERS].strip()
    words = list(_words(tail))
    agent = ""
    if len(words) > 1 and all(word == "" and quoted is not None for word, quoted in words[:2]):
        _, (_, agent_text), *words = words
        agent = dash_as_empty(unescape(agent_text or ""))
    response_us, duration = duration_of(words)
    return LogLine(
        time_us=line.time_us,
        method=line.method,
        target=line.target,
        status=line.status,
        response_us=response_us,
        duration=duration if response_us is not None else "",
        response_bytes=line.response_bytes,
        address=line.address,
        user=line.user,
        user_agent=agent,
    )


def read_head(text: str) -> tuple[str, str]:
    """Return the address and the user of the text before the time: `[prefix] address ident user`.

    The ident is `-` without identd, and a user may contain spaces. Virtual hosts, prefixes of a logger and lists of
    forwarded addresses may precede the address. In a list at the place of the address, the first address is the
    client's.
    """
    words = text.rstrip(" ").split(" ")[:_MAX_WORDS]
    for place, (word, following) in enumerate(itertools.pairwise(words)):
        if following == "-" and (address := _read_first(word)):
            first = place
            while first and words[first - 1].endswith(","):
                first -= 1
            return _read_first(words[first]) or address, _read_user(words[place + 2 :])
    if len(words) == 3:
        # identd answered, or a name or a socket stands at the place of the address.
        return read_address(words[0]), _read_user(words[2:])
    return (read_address(words[0]), "") if len(words) == 1 else ("", "")


def _read_first(addresses: str) -> str:
    return read_address(addresses.partition(",")[0])


def _read_user(words: list[str]) -> str:
    return dash_as_empty(unescape(" ".join(words)))


def find_duration(words: list[Word]) -> Duration:
    """Return the response time among the words after a line; its name or unit must leave no doubt."""
    named = _find_named(words)
    if named is not None:
        return named
    bare = [
        response_us
        for index, (word, quoted) in enumerate(words)
        if quoted is None and (response_us := _bare(words, index, word)) is not None
    ]
    return (bare[0], "the only value with a unit after the line") if len(bare) == 1 else (None, "")


def _find_named(words: list[Word]) -> Duration | None:
    return next((duration for word, quoted in words if (duration := _named(word, quoted)) is not None), None)


def _named(word: str, quoted: str | None) -> Duration | None:
    match = _NAMED.match(word.strip(_SEPARATORS))
    return None if match is None else labelled(match["name"], match["value"] if quoted is None else quoted)


def _bare(words: list[Word], index: int, word: str) -> int | None:
    """Return a value whose unit ends in `s` and that has no name before it; None for another word."""
    word = word.strip(_SEPARATORS)
    following = words[index + 1][0] if index + 1 < len(words) else ""
    if following in {"ms", "us", "µs", "s"} and word[:1].isdigit():
        word = f"{word} {following}"
    if not word.endswith("s") or (index and words[index - 1][0].endswith((":", "="))):
        return None
    return with_unit(word)


def _words(text: str) -> Iterator[Word]:
    """Yield the words between spaces; a quoted text may contain spaces."""
    position = 0
    for _ in range(_MAX_WORDS):
        if position >= len(text):
            return
        match = _WORD.match(text, position)
        if match is None or match.end() == position:
            return
        yield match["word"], match["quoted"]
        position = match.end()
