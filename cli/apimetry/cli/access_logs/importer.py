"""Adds the lines of access logs to the events, each line once, however often and under whatever name it comes.

The ledger is the data itself. An imported event carries the id of its line; before anything is sent for an hour, the
ids that are stored for it are asked for, and a line that is there is left out. So there is no second record that a
crash could leave behind the events, and what was deleted or has expired is not remembered as imported. What was
acknowledged but is not yet stored would be missed: every run first waits until the collector has stored what it
holds, and batches are named by their lines, so that one that is sent again within the collector's window is stored
once.

Left out by this rule: of lines that are alike to the letter and in the same second, those that stand in two files
that were split between them (a rotation in that very second) count once.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo

from apimetry.cli.access_logs.events import HOUR_S, Choices, LineIds, make_event
from apimetry.cli.access_logs.files import DamagedLog, Log, first_lines
from apimetry.cli.access_logs.formats import AUTO, detect, parser_of
from apimetry.cli.access_logs.lines import US_PER_S, BadLine, LogLine, Parser
from apimetry.cli.access_logs.targets import Collector, Stored

BATCH_EVENTS = 2000
SAMPLE_LINES = 50
SHOWN_BAD_LINES = 5
_SHOWN_CHARACTERS = 120
# Of ids in memory: about 250 MB.
_MAX_IDS = 2_000_000
# The collector refuses what is older than the retention, by its own clock.
_CLOCKS_APART_S = 60
_MAX_AHEAD_S = 86_400 - _CLOCKS_APART_S
_DAY_S = 86_400


@dataclass
class Result:
    """What became of the lines: each is in exactly one of the counts but `lines`."""

    lines: int = 0
    imported: int = 0
    already_there: int = 0
    older_than_retention: int = 0
    in_the_future: int = 0
    rejected: int = 0
    not_requests: int = 0
    unreadable: int = 0
    without_time: int = 0
    """Of the imported: lines that do not say how long the response took."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why lines were unreadable or rejected."""
    examples: list[tuple[str, int, str]] = field(default_factory=list)
    """Of the first unreadable lines: file, number and reason."""


class KnownLines:
    """The ids that are stored or sent, by hour; asked for once, as long as they fit in memory."""

    def __init__(self, stored: Stored, settle: Callable[[], None]) -> None:
        self._stored = stored
        self._settle = settle
        self._unasked = stored.hours()
        self._ids: OrderedDict[int, set[str]] = OrderedDict()
        self._left: set[int] = set()

    def of(self, hour: int) -> set[str]:
        """Return the ids of an hour; what is sent is added to them by the caller."""
        ids = self._ids.get(hour)
        if ids is None:
            self._make_room()
            if hour in self._left:
                # Some of them may be on their way.
                self._settle()
            ids = self._stored.line_ids(hour) if hour in self._unasked or hour in self._left else set()
            self._ids[hour] = ids
        self._ids.move_to_end(hour)
        return ids

    def _make_room(self) -> None:
        while len(self._ids) > 1 and sum(map(len, self._ids.values())) > _MAX_IDS:
            self._left.add(self._ids.popitem(last=False)[0])


class Importer:
    """One run over any number of files; `result` grows with it."""

    def __init__(
        self,
        collector: Collector | None,
        stored: Stored,
        choices: Choices,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.result = Result()
        self._collector = collector
        self._choices = choices
        if collector is not None:
            collector.wait_until_stored()
        now_s = clock()
        self._oldest_us = int((now_s - stored.retention_days() * _DAY_S + _CLOCKS_APART_S) * US_PER_S)
        self._newest_us = int((now_s + _MAX_AHEAD_S) * US_PER_S)
        self._known = KnownLines(stored, self._settle)
        self._events: list[dict[str, object]] = []
        self._ids: list[str] = []

    def add(self, name: str, log: Log, form: str, zone: tzinfo) -> Iterator[str]:
        """Add a file's lines; yields the name of its format, then after each few lines again.

        Raises:
            BadLine: the format cannot be told.
            DamagedLog: the compression breaks off; the lines before were added.
        """
        first, lines = first_lines(log.lines(), SAMPLE_LINES)
        if form == AUTO:
            detected = detect([_text(line) for line in first if line.strip()], zone)
            if detected is None and any(line.strip() for line in first):
                raise BadLine("no known format reads any of its first lines")
            form = detected or "combined"
        parser, line_ids = parser_of(form, zone), LineIds()
        yield form
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    self._add_line(line, parser, line_ids, (name, number))
                if number % 1000 == 0:
                    yield form
        except DamagedLog:
            self.finish()
            raise
        self.finish()
        yield form

    def finish(self) -> None:
        """Send what is left."""
        self._send()

    def settle(self) -> None:
        """Wait until everything can be queried."""
        self._settle()

    def _add_line(self, line: bytes, parser: Parser, line_ids: LineIds, place: tuple[str, int]) -> None:
        result = self.result
        result.lines += 1
        try:
            parsed = parser(_text(line))
        except (BadLine, ValueError) as error:
            self._note_bad(place, str(error) if isinstance(error, BadLine) else "it cannot be read")
            return
        if parsed is None:
            result.not_requests += 1
        elif parsed.time_us < self._oldest_us:
            result.older_than_retention += 1
        elif parsed.time_us > self._newest_us:
            result.in_the_future += 1
        else:
            self._take(line, parsed, line_ids)

    def _take(self, line: bytes, parsed: LogLine, line_ids: LineIds) -> None:
        hour = parsed.time_us // US_PER_S // HOUR_S
        line_id = line_ids.name(line, hour)
        known = self._known.of(hour)
        if line_id in known:
            self.result.already_there += 1
            return
        known.add(line_id)
        self.result.without_time += parsed.response_us is None
        self._events.append(make_event(parsed, line_id, self._choices))
        self._ids.append(line_id)
        if len(self._events) >= BATCH_EVENTS:
            self._send()

    def _send(self) -> None:
        if not self._events:
            return
        events, ids = self._events, self._ids
        self._events, self._ids = [], []
        if self._collector is None:
            self.result.imported += len(events)
            return
        answer = self._collector.send(events, ids)
        self.result.imported += answer["accepted"]
        self.result.rejected += answer["rejected"]
        for detail in answer.get("details", ()):
            self.result.reasons[f"{detail.get('field')}: {detail.get('message')}"] += 1

    def _settle(self) -> None:
        self._send()
        if self._collector is not None:
            self._collector.wait_until_stored()

    def _note_bad(self, place: tuple[str, int], reason: str) -> None:
        self.result.unreadable += 1
        self.result.reasons[reason] += 1
        if len(self.result.examples) < SHOWN_BAD_LINES:
            self.result.examples.append((*place, reason[:_SHOWN_CHARACTERS]))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
