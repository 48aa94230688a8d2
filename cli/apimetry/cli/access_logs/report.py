"""The results of an import: counts by file, printed for people or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from apimetry.cli.output import note, one_line, print_json, print_record, say

SHOWN_BAD_LINES = 5
_NO_DURATIONS = "nothing that is certain; --log-format says what stands in the lines"
COUNTS = (
    "lines",
    "imported",
    "already_there",
    "older_than_retention",
    "in_the_future",
    "rejected",
    "not_requests",
    "unreadable",
)
# Counts of imported lines.
NOTES = ("without_duration", "implausible_durations")


@dataclass
class FileReport:
    """The results of one file. Every line is in `lines` and in exactly one other count of COUNTS."""

    file: str
    form: str = ""
    lines: int = 0
    imported: int = 0
    """Lines that this run stored. Lines that the collector or another run had already are in `already_there`."""
    already_there: int = 0
    older_than_retention: int = 0
    in_the_future: int = 0
    rejected: int = 0
    not_requests: int = 0
    unreadable: int = 0
    without_duration: int = 0
    implausible_durations: int = 0
    without_time: int = 0
    """Unreadable lines that have no time."""
    durations: Counter[str] = field(default_factory=Counter)
    """The fields that have the response times, with their unit."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why lines were unreadable or rejected."""
    examples: list[tuple[int, str]] = field(default_factory=list)
    """Number and reason of the first unreadable lines."""
    failure: str = ""
    """Why the file or a part of it was not read; empty where the whole file was read."""

    @property
    def requests(self) -> int:
        """Return the number of lines that are requests."""
        return self.lines - self.not_requests - self.unreadable

    def note_unreadable(self, number: int, reason: str) -> None:
        """Count a line that cannot be read."""
        self.unreadable += 1
        self.reasons[reason] += 1
        if len(self.examples) < SHOWN_BAD_LINES:
            self.examples.append((number, reason))


def failures(reports: Sequence[FileReport]) -> list[str]:
    """Return one sentence for every file that failed as a whole."""
    messages = []
    for report in reports:
        if report.failure:
            messages.append(f"{report.file}{report.failure}")
        elif report.without_time:
            messages.append(
                f"{report.file}: {report.without_time} lines name no time; say --timestamps file-mtime or now,"
                " or have the server write one"
            )
        elif report.unreadable and not report.requests:
            messages.append(f"{report.file}: no line could be read")
    return messages


def show(reports: Sequence[FileReport], *, dry_run: bool, as_json: bool) -> None:
    """Print the report."""
    if as_json:
        print_json(_as_record(reports, dry_run=dry_run))
        return
    for report in reports:
        _show_file(report, dry_run=dry_run)
    if len(reports) > 1:
        totals = {name: _total(reports, name) for name in COUNTS}
        say("\nall files")
        print_record({name: count for name, count in totals.items() if count or name in COUNTS[:2]}, as_json=False)


def _show_file(report: FileReport, *, dry_run: bool) -> None:
    say(f"{one_line(report.file)}: {report.form or 'of no known format'}{' (dry run)' if dry_run else ''}")
    shown = {name: getattr(report, name) for name in (*COUNTS, *NOTES)}
    record: dict[str, object] = {name: count for name, count in shown.items() if count or name in COUNTS[:2]}
    if report.imported:
        record["durations_from"] = ", ".join(sorted(report.durations)) or _NO_DURATIONS
    print_record(record, as_json=False)
    if report.rejected:
        for reason, count in report.reasons.most_common(SHOWN_BAD_LINES):
            note(f"{one_line(report.file)}: {count} times: {reason}")
    for number, reason in report.examples:
        note(f"{one_line(report.file)}:{number}: {reason}")


def _as_record(reports: Sequence[FileReport], *, dry_run: bool) -> dict[str, object]:
    reasons = sum((report.reasons for report in reports), Counter[str]())
    durations = sum((report.durations for report in reports), Counter[str]())
    return {
        **{name: _total(reports, name) for name in (*COUNTS, *NOTES)},
        "dry_run": dry_run,
        "durations": dict(durations),
        "reasons": dict(reasons),
        "examples": [
            {"file": report.file, "line": number, "reason": reason}
            for report in reports
            for number, reason in report.examples
        ],
        "files": [
            {
                "file": report.file,
                "format": report.form,
                **{name: getattr(report, name) for name in (*COUNTS, *NOTES)},
                "durations": dict(report.durations),
                "reasons": dict(report.reasons),
            }
            for report in reports
        ],
    }


def _total(reports: Sequence[FileReport], name: str) -> int:
    return sum(getattr(report, name) for report in reports)
