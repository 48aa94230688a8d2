"""Read the lines of one log: remove envelopes, parse the lines, and detect the format. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone, tzinfo

from apimetry.cli.access_logs.envelopes import Opened, open_envelopes, without_colours
from apimetry.cli.access_logs.formats.table import FORMATS
from apimetry.cli.access_logs.layouts.dialects import compile_layout
from apimetry.cli.access_logs.lines import BadLine, LogLine, Parser

AUTO = "auto"
LAYOUT = "the given --log-format"
# Messages of gunicorn, Hypercorn and Granian, which often write them into the access log.
_SERVER_MESSAGE = re.compile(
    r"\A(?:\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d{1,10}\] )?\[(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\] "
)


class Reader:
    """Read the lines of one log with one parser.

    Args:
        name: name of the format.
        parser: parses a line without envelopes.
        latest: when the log was last written; times without a zone are in its zone.
        is_bare: whether the whole line is parsed before the line without envelopes: the begin of a line in this
            format looks like an envelope of a container or of syslog.
    """

    def __init__(self, name: str, parser: Parser, latest: datetime, *, is_bare: bool = False) -> None:
        self.name = name
        self._parser = parser
        self._latest = latest
        self._is_bare = is_bare

    def read(self, text: str) -> LogLine | None:
        """Return the request of a line; None for a line without a request; raise BadLine."""
        text = without_colours(text)
        opened = open_envelopes(text, self._latest)
        try:
            return self._read(text, opened)
        except BadLine:
            if _SERVER_MESSAGE.match(opened.text) or _SERVER_MESSAGE.match(text):
                return None
            raise

    def _read(self, text: str, opened: Opened) -> LogLine | None:
        if opened.text == text:
            return self._parser(text)
        if not self._is_bare:
            return self._read_inside(opened)
        try:
            return self._parser(text) or self._read_inside(opened)
        except BadLine:
            return self._read_inside(opened)

    def _read_inside(self, opened: Opened) -> LogLine | None:
        line = self._parser(opened.text)
        if line is not None and line.time_us is None:
            return replace(line, time_us=opened.time_us)
        return line


def open_reader(name: str, latest: datetime) -> Reader:
    """Return a reader of one of FORMATS.

    Args:
        name: name of the format.
        latest: when the log was last written; times without a zone are in its zone.
    """
    form = FORMATS[name]
    parser = form.open(_zone_of(latest))
    if form.fallback:
        parser = _first_of(parser, FORMATS[form.fallback].open(_zone_of(latest)))
    return Reader(name, parser, latest, is_bare=form.is_bare)


def open_layout(layout: str, latest: datetime) -> Reader:
    """Return a reader of a layout of nginx or Apache; raise LayoutError."""
    return Reader(LAYOUT, compile_layout(layout, _zone_of(latest)), latest, is_bare=True)


def detect(lines: Sequence[str], latest: datetime) -> str | None:
    """Return the name in FORMATS that reads the first lines; None where no format reads a line.

    It is the first format of the table that reads at least half as many lines as the best one. So a specific format
    wins over a general format, which reads the same lines and knows fewer of their fields.
    """
    scores = {
        form.name: _score(Reader(form.name, form.open(_zone_of(latest)), latest, is_bare=form.is_bare).read, lines)
        for form in FORMATS.values()
        if form.is_automatic
    }
    best = max(scores.values())
    return next((name for name, score in scores.items() if best and 2 * score >= best), None)


def _score(read: Callable[[str], LogLine | None], lines: Sequence[str]) -> int:
    score = 0
    for line in lines:
        try:
            score += read(line) is not None
        except BadLine:
            continue
    return score


def _first_of(parser: Parser, fallback: Parser) -> Parser:
    def parse(text: str) -> LogLine | None:
        try:
            return parser(text)
        except BadLine:
            return fallback(text)

    return parse


def _zone_of(latest: datetime) -> tzinfo:
    return latest.tzinfo or timezone.utc
