"""Add the lines of access logs to the events, every line once, however often and under any name it is imported.

The stored events are the ledger. An imported event carries the id of its line. Before the importer sends events of an
hour, it reads the ids that are stored for that hour, and leaves out the lines that are there. So no second record can
differ from the events after a crash, and deleted or expired events do not count as imported.

Acknowledged events may not be stored yet, and their ids would be missing. So every run first waits until the
collector has stored its events. The id of a batch is made from its source and lines, so that the collector recognizes
a batch that is sent again, and stores it once. Where the collector reports a duplicate, the importer reads the stored
ids again. Either another run sent the batch, or its events were deleted since; deleted events are sent again under
another batch id.

One case counts too few: equal lines of one second that a rotation in that second split between two files. The lines
of the second file count as imported already.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone, tzinfo

from apimetry.cli.access_logs.events import HOUR_S, EventOptions, LineIds, is_plausible, make_event
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
class ReadOptions:
    """The options for reading logs."""

    form: str = AUTO
    layout: str = ""
    """A format string of nginx or Apache, which replaces `form`."""
    zone: tzinfo = timezone.utc
    """The zone of times without one."""
    timestamps: str = ""
    """The time of lines without one: FILE_MTIME or NOW. Where it is empty, such lines are unreadable."""


@dataclass(frozen=True)
class _OpenLog:
    """One open log: its reader, the ids of its lines, and the time for lines without one."""

    reader: Reader
    ids: LineIds
    timeless_us: Callable[[], int] | None


class Importer:
    """Import any number of files in one run; `reports` has one report for each file."""

    def __init__(
        self,
        collector: Collector | None,
        stored: Stored,
        options: EventOptions,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.reports: list[FileReport] = []
        self._options = options
        self._clock = clock
        if collector is not None:
            collector.wait_until_stored()
        self._oldest_us = int((clock() - stored.retention_days() * _DAY_S + _CLOCKS_APART_S) * US_PER_S)
        self._outbox = Outbox(collector, lambda: self._known, Routes(stored.routes()))
        self._known = KnownLines(stored, self._outbox.settle)

    def add(self, name: str, log: Log, read_options: ReadOptions) -> Iterator[FileReport]:
        """Add a file's lines to the events; yield the file's report from time to time to show the progress.

        Raises:
            BadLine: no known format reads the log.
            DamagedLog: the compressed data is damaged; the lines before the damage were added.
            LayoutError: the layout cannot be understood.
        """
        report = FileReport(name)
        self.reports.append(report)
        self._outbox.report = report
        try:
            yield from self._add_lines(report, log, read_options)
        except (DamagedLog, KeyboardInterrupt):
            self._outbox.flush()
            raise
        self._outbox.flush()
        yield report

    def settle(self) -> None:
        """Wait until every event that was sent can be queried."""
        self._outbox.settle()

    def _add_lines(self, report: FileReport, log: Log, read_options: ReadOptions) -> Iterator[FileReport]:
        lines, first = log.lines(), list[bytes]()
        opened = self._open(log, lines, first, read_options)
        if opened is None:
            return
        report.form, flushed_s = opened.reader.name, self._clock()
        for number, line in enumerate(itertools.chain(first, lines), 1):
            if line is not None:
                report.lines += bool(line.strip())
                self._add_line(line, number, opened, report)
            # Events of a log that grows do not wait for a full batch.
            if log.is_live and (line is None or self._clock() - flushed_s > LIVE_FLUSH_S):
                self._outbox.flush()
                flushed_s = self._clock()
            if line is None or number % _YIELD_LINES == 0:
                yield report

    def _open(
        self, log: Log, lines: Iterator[bytes | None], first: list[bytes], read_options: ReadOptions
    ) -> _OpenLog | None:
        """Return an open log, None for an empty one; the lines that detect its format are read into `first`."""
        latest = datetime.fromtimestamp(log.written_s, read_options.zone)
        if read_options.layout:
            reader = open_layout(read_options.layout, latest)
        else:
            form = _detect_format(lines, first, latest) if read_options.form == AUTO else read_options.form
            if form is None:
                return None
            reader = open_reader(form, latest)
        is_following = log.is_live and read_options.timestamps == NOW
        # Lines that arrive now are new, also where they are equal to earlier lines: random bytes make their ids
        # unique.
        ids = LineIds(os.urandom(16) if is_following else b"")
        timeless = {FILE_MTIME: lambda: int(log.written_s * US_PER_S), NOW: lambda: int(self._clock() * US_PER_S)}
        return _OpenLog(reader, ids, timeless.get(read_options.timestamps))

    def _add_line(self, line: bytes, number: int, opened: _OpenLog, report: FileReport) -> None:
        opened.ids.pass_by(line)
        if not line.strip():
            return
        try:
            parsed = opened.reader.read(_text(line))
        except BadLine as error:
            report.note_unreadable(number, str(error))
            return
        if parsed is None:
            report.not_requests += 1
            return
        if parsed.time_us is None and opened.timeless_us is None:
            report.without_time += 1
            report.note_unreadable(number, "it names no time")
            return
        self._add_request(line, parsed, opened, report)

    def _add_request(self, line: bytes, parsed: LogLine, opened: _OpenLog, report: FileReport) -> None:
        if parsed.time_us is not None:
            time_us, hour = parsed.time_us, parsed.time_us // US_PER_S // HOUR_S
        else:
            time_us, hour = opened.timeless_us() if opened.timeless_us else 0, None
        if time_us < self._oldest_us:
            report.older_than_retention += 1
        elif time_us > int((self._clock() + _MAX_AHEAD_S) * US_PER_S):
            report.in_the_future += 1
        else:
            line_id = opened.ids.name_by_place() if hour is None else opened.ids.name(line, hour)
            known = self._known.ids_of(hour)
            if line_id in known:
                report.already_there += 1
                return
            known.add(line_id)
            event = make_event(_with_plausible_duration(parsed, report), time_us, line_id, self._options)
            self._outbox.add(Pending(event, line_id, hour))


def _detect_format(lines: Iterator[bytes | None], first: list[bytes], latest: datetime) -> str | None:
    """Detect the format of a log by its first lines, which are read into `first`; return None for an empty log.

    More lines are read until some of them are requests. For a log that grows, the lines before a silence are enough.
    """
    sample_size = SAMPLE_LINES
    for line in lines:
        if line is not None:
            first.append(line)
        if (line is None and first) or len(first) >= sample_size:
            form = detect(_sample(first), latest)
            if form is not None:
                return form
            if sample_size >= MAX_SAMPLE_LINES or sum(map(len, first)) > MAX_SAMPLE_BYTES:
                break
            sample_size *= 2 if len(first) >= sample_size else 1
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


def _with_plausible_duration(line: LogLine, report: FileReport) -> LogLine:
    """Remove a response time that is not possible, and count in the report which field the time came from."""
    if line.response_us is not None and not is_plausible(line.response_us):
        report.implausible_durations += 1
        line = replace(line, response_us=None)
    if line.response_us is None:
        report.without_duration += 1
    else:
        report.durations[line.duration] += 1
    return line
