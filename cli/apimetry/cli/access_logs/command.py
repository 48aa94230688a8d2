"""`apimetry import access-log FILE…`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timezone, tzinfo
from zoneinfo import ZoneInfo

import click

from apimetry.cli.access_logs.events import EventOptions
from apimetry.cli.access_logs.files import STDIN, DamagedLog, open_log, size_of
from apimetry.cli.access_logs.formats.table import FORMATS
from apimetry.cli.access_logs.importer import FILE_MTIME, NOW, Importer, ReadOptions
from apimetry.cli.access_logs.layouts.dialects import compile_layout
from apimetry.cli.access_logs.layouts.template import LayoutError
from apimetry.cli.access_logs.lines import BadLine
from apimetry.cli.access_logs.reading import AUTO
from apimetry.cli.access_logs.report import FileReport, failures, show
from apimetry.cli.access_logs.targets import Collector, Stored
from apimetry.cli.client import PATIENCE_S
from apimetry.cli.connection import Connection, with_connection
from apimetry.cli.output import note, one_line

_REPORT_EVERY_S = 5.0


@click.group("import")
def import_() -> None:
    """Add history from elsewhere."""


@import_.command("access-log")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@with_connection("collector_url", "query_url", "write_key", "read_key")
@click.option("--source", default="access-log", show_default=True,
              help="which server wrote the logs; the same line is added once for each source")  # fmt: skip
@click.option("--format", "form", type=click.Choice([AUTO, *FORMATS]), default=AUTO, show_default=True,
              help="combined-s, -ms and -us end in a time of that unit, and so do caddy-ms and caddy-ns")  # fmt: skip
@click.option("--log-format", "layout", metavar="STRING",
              help="nginx's log_format, Apache's LogFormat or gunicorn's access_log_format")  # fmt: skip
@click.option("--timestamps", type=click.Choice([FILE_MTIME, NOW]),
              help="when requests were whose lines name no time: when the file was last written, or now")  # fmt: skip
@click.option("--timezone", "zone", default="UTC", show_default=True, help="of times that do not name theirs")
@click.option("--urls", type=click.Choice(["path", "masked", "full"]), default="masked", show_default=True,
              help="what of a URL is kept; masked keeps the names of a query without their values")  # fmt: skip
@click.option("--client-ip", type=click.Choice(["off", "truncated", "full"]), default="off", show_default=True,
              help="what of a client's address is kept")  # fmt: skip
@click.option("--users", is_flag=True, help="keep the authenticated user as the consumer")
@click.option("--user-agents", is_flag=True, help="keep user agents")
@click.option("--dry-run", is_flag=True, help="read and compare, and send nothing")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def access_log(  # noqa: PLR0913 - the command's options
    connection: Connection,
    *,
    files: tuple[str, ...],
    source: str,
    form: str,
    layout: str | None,
    timestamps: str | None,
    zone: str,
    urls: str,
    client_ip: str,
    users: bool,
    user_agents: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add the requests in access logs of web servers, proxies and balancers; `-` is standard input, or `tail -f`.

    Repeating it adds nothing twice: not the same file, renamed, compressed or grown. Plain and gzip files are read.
    For a format that is not told by itself, give the server's own description as --log-format.
    """
    read_options = _reading(files, form, layout, timestamps, zone)
    for client in (connection.collector(), connection.query()):
        client.require()
    collector = Collector(connection.collector(patience_s=PATIENCE_S))
    stored = Stored(connection.query(patience_s=PATIENCE_S), source)
    event_options = EventOptions(source, urls, client_ip, users=users, user_agents=user_agents)
    total = _size(files)
    if STDIN in files:
        # A signal that stops a pipe must not lose the lines read so far: it acts as an interrupt from the keyboard.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    importer = Importer(None if dry_run else collector, stored, event_options)
    _run(importer, files, read_options, total)
    importer.settle()
    show(importer.reports, dry_run=dry_run, as_json=as_json)
    failed = failures(importer.reports)
    if failed:
        raise click.ClickException(one_line("; ".join(failed)))


def _run(importer: Importer, files: tuple[str, ...], read_options: ReadOptions, total: int | None) -> None:
    """Add every file; a failure of a file goes into its report."""
    with _progress(total) as advance:
        for name in files:
            position = 0
            try:
                with open_log(name) as log:
                    for report in importer.add(name, log, read_options):
                        advance(report, log.position - position)
                        position = log.position
            except DamagedLog as error:
                importer.reports[-1].failure = f" breaks off: {error}; the lines before were added"
            except BadLine as error:
                importer.reports[-1].failure = f": {error}; give its --format or --log-format"
            except OSError as error:
                importer.reports.append(FileReport(name, failure=f" cannot be read: {error.strerror}"))
            except KeyboardInterrupt:
                # An interrupt is the normal end of a log that still grows.
                if name == STDIN:
                    return
                raise


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[FileReport, int], None]]:
    """Show progress on standard error: a bar on a terminal, elsewhere a line every few seconds."""
    if total and sys.stderr.isatty():
        with click.progressbar(length=total, label="Importing", file=sys.stderr) as bar:
            yield lambda _, count: bar.update(count)
        return
    reported_s = time.monotonic()

    def advance(report: FileReport, _: int) -> None:
        nonlocal reported_s
        if time.monotonic() - reported_s >= _REPORT_EVERY_S:
            reported_s = time.monotonic()
            note(f"{report.file} ({report.form}): {report.lines} lines read, {report.imported} imported")

    yield advance


def _reading(files: tuple[str, ...], form: str, layout: str | None, timestamps: str | None, zone: str) -> ReadOptions:
    if layout is not None and form != AUTO:
        raise click.UsageError("--format and --log-format are both given; one of them is enough")
    if timestamps == FILE_MTIME and STDIN in files:
        raise click.UsageError("--timestamps file-mtime: standard input has no such time; say now")
    read_options = ReadOptions(form, layout or "", _zone(zone), timestamps or "")
    if layout is not None:
        try:
            compile_layout(layout, read_options.zone)
        except LayoutError as error:
            raise click.UsageError(one_line(f"--log-format: {error}")) from error
    return read_options


def _zone(name: str) -> tzinfo:
    try:
        return timezone.utc if name == "UTC" else ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise click.UsageError(f"--timezone: {name!r} is not the name of a time zone") from error


def _size(files: tuple[str, ...]) -> int | None:
    try:
        return size_of(files)
    except OSError as error:
        raise click.UsageError(one_line(f"{error.filename}: {os.strerror(error.errno or 0)}")) from error
