"""Adds the lines of access logs to the events, each line once, however often and under whatever name it comes.

The ledger is the data itself. An imported event carries the id of its line; before anything is sent for an hour, the
ids that are stored for it are asked for, and a line that is there is left out. So there is no second record that a
crash could leave behind the events, and what was deleted or has expired is not remembered as imported. What was
acknowledged but is not yet stored would be missed: every run first waits until the collector has stored what it
holds, and batches are named by their source and lines, so that one that is sent again within the collector's window
is stored once. Where the collector says that it took a batch before, the ledger is asked again: another run may have
brought it, or its events were deleted since, and then they are sent under another name.

Left out by this rule: of lines that are alike to the letter and in the same second, those that stand in two files
that were split between them (a rotation in that very second) count once.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone, tzinfo

from apimetry.cli.access_logs.events import HOUR_S, Choices, LineIds, is_plausible, make_event
from apimetry.cli.access_logs.files import MAX_LINE_BYTES, DamagedLog, Log
from apimetry.cli.access_logs.ledger import KnownLines
from apimetry.cli.access_logs.lines import US_PER_S, BadLine, LogLine
from apimetry.cli.access_logs.reading import AUTO, Reader, detect, open_layout, open_reader
from apimetry.cli.access_logs.report import FileReport
from apimetry.cli.access_logs.routes import Pending, Routes
from apimetry.cli.access_logs.sending import Outbox
from apimetry.cli.access_logs.targets import Collector, Stored

SAMPLE_LINES = 50
MAX_SAMPLE_LINES = 3200
MAX_SAMPLE_BYTES = 4 * 1024 * 1024
LIVE_FLUSH_S = 1.0
FILE_MTIME, NOW = "file-mtime", "now"
_YIELD_LINES = 1000
# The collector refuses what is older than the retention, by its own clock.
_CLOCKS_APART_S = 60
_MAX_AHEAD_S = 86_400 - _CLOCKS_APART_S
_DAY_S = 86_400


@dataclass(frozen=True)
class Reading:
    """How logs are to be read."""

    form: str = AUTO
    layout: str = ""
    """A format string of nginx's or Apache's, instead of `form`."""
    zone: tzinfo = timezone.utc
    """Of times that name none."""
    timestamps: str = ""
    """FILE_MTIME or NOW, for lines without a time; empty: they are unreadable."""


@dataclass(frozen=True)
class _Source:
    """One open log: its reader, the ids of its lines, and the time of those that name none."""

    reader: Reader
    ids: LineIds
    timeless_us: Callable[[], int] | None


class Importer:
    """One run over any number of files; `reports` grows with it."""

    def __init__(
        self, collector: Collector | None, stored: Stored, choices: Choices, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.reports: list[FileReport] = []
        self._choices = choices
        self._clock = clock
        if collector is not None:
            collector.wait_until_stored()
        self._oldest_us = int((clock() - stored.retention_days() * _DAY_S + _CLOCKS_APART_S) * US_PER_S)
        self._outbox = Outbox(collector, lambda: self._known, Routes(stored.routes()))
        self._known = KnownLines(stored, self._outbox.settle)

    def add(self, name: str, log: Log, reading: Reading) -> Iterator[FileReport]:
        """Add a file's lines to the events; yields its report now and then while it grows.

        Raises:
            BadLine: the format cannot be told.
            DamagedLog: the compression breaks off; the lines before were added.
            LayoutError: the layout cannot be understood.
        """
        report = FileReport(name)
        self.reports.append(report)
        self._outbox.report = report
        try:
            yield from self._add_lines(report, log, reading)
        except (DamagedLog, KeyboardInterrupt):
            self._outbox.flush()
            raise
        self._outbox.flush()
        yield report

    def settle(self) -> None:
        """Wait until everything can be queried."""
        self._outbox.settle()

    def _add_lines(self, report: FileReport, log: Log, reading: Reading) -> Iterator[FileReport]:
        lines, first = log.lines(), list[bytes]()
        source = self._open(log, lines, first, reading)
        if source is None:
            return
        report.form, flushed_s = source.reader.name, self._clock()
        for number, line in enumerate(itertools.chain(first, lines), 1):
            if line is not None:
                report.lines += bool(line.strip())
                self._add_line(line, number, source, report)
            # Of a log that is still written nothing waits for the next batch to be full.
            if log.is_live and (line is None or self._clock() - flushed_s > LIVE_FLUSH_S):
                self._outbox.flush()
                flushed_s = self._clock()
            if line is None or number % _YIELD_LINES == 0:
                yield report

    def _open(self, log: Log, lines: Iterator[bytes | None], first: list[bytes], reading: Reading) -> _Source | None:
        """Open a log's reader, taking as many first lines as that needs; None for an empty log."""
        latest = datetime.fromtimestamp(log.written_s, reading.zone)
        if reading.layout:
            reader = open_layout(reading.layout, latest)
        else:
            form = _tell_format(lines, first, latest) if reading.form == AUTO else reading.form
            if form is None:
                return None
            reader = open_reader(form, latest)
        is_passing = log.is_live and reading.timestamps == NOW
        # What is read as it is written is new, however like it is to what was read before.
        ids = LineIds(os.urandom(16) if is_passing else b"")
        timeless = {FILE_MTIME: lambda: int(log.written_s * US_PER_S), NOW: lambda: int(self._clock() * US_PER_S)}
        return _Source(reader, ids, timeless.get(reading.timestamps))

    def _add_line(self, line: bytes, number: int, source: _Source, report: FileReport) -> None:
        source.ids.pass_by(line)
        if not line.strip():
            return
        try:
            parsed = source.reader.read(_text(line))
        except BadLine as error:
            report.note_unreadable(number, str(error))
            return
        if parsed is None:
            report.not_requests += 1
            return
        if parsed.time_us is None and source.timeless_us is None:
            report.without_time += 1
            report.note_unreadable(number, "it names no time")
            return
        self._add_request(line, parsed, source, report)

    def _add_request(self, line: bytes, parsed: LogLine, source: _Source, report: FileReport) -> None:
        if parsed.time_us is not None:
            time_us, hour = parsed.time_us, parsed.time_us // US_PER_S // HOUR_S
        else:
            time_us, hour = source.timeless_us() if source.timeless_us else 0, None
        if time_us < self._oldest_us:
            report.older_than_retention += 1
        elif time_us > int((self._clock() + _MAX_AHEAD_S) * US_PER_S):
            report.in_the_future += 1
        else:
            line_id = source.ids.name_by_place() if hour is None else source.ids.name(line, hour)
            known = self._known.of(hour)
            if line_id in known:
                report.already_there += 1
                return
            known.add(line_id)
            event = make_event(_checked(parsed, report), time_us, line_id, self._choices)
            self._outbox.add(Pending(event, line_id, hour))


def _tell_format(lines: Iterator[bytes | None], first: list[bytes], latest: datetime) -> str | None:
    """Return the format of a log by its first lines, which are put into `first`; None for an empty log.

    As many lines are taken as it needs to find requests among them. Of a log that is still written the lines are
    enough that have come when nothing more comes.
    """
    wanted = SAMPLE_LINES
    for line in lines:
        if line is not None:
            first.append(line)
        if (line is None and first) or len(first) >= wanted:
            form = detect(_sample(first), latest)
            if form is not None:
                return form
            if wanted >= MAX_SAMPLE_LINES or sum(map(len, first)) > MAX_SAMPLE_BYTES:
                break
            wanted *= 2 if len(first) >= wanted else 1
    sample = _sample(first)
    form = detect(sample, latest) if sample else None
    if sample and form is None:
        raise BadLine("no known format reads any of its first lines")
    return form


def _sample(lines: list[bytes]) -> list[str]:
    return [line.decode("utf-8", "replace") for line in lines if line.strip() and len(line) <= MAX_LINE_BYTES]


def _text(line: bytes) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise BadLine(f"it has more than {MAX_LINE_BYTES} bytes")
    return line.decode("utf-8", "replace")


def _checked(line: LogLine, report: FileReport) -> LogLine:
    """Return the line without a response time that cannot be one, and count what it was taken from."""
    if line.response_us is not None and not is_plausible(line.response_us):
        report.implausible_durations += 1
        line = replace(line, response_us=None)
    if line.response_us is None:
        report.without_duration += 1
    else:
        report.durations[line.duration] += 1
    return line
