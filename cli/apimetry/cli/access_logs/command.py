"""`apimetry import access-log FILE…`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timezone, tzinfo
from zoneinfo import ZoneInfo

import click

from apimetry.cli.access_logs.events import Choices
from apimetry.cli.access_logs.files import DamagedLog, open_log, size_of
from apimetry.cli.access_logs.formats import AUTO, FORMATS
from apimetry.cli.access_logs.importer import Importer, Result
from apimetry.cli.access_logs.lines import BadLine
from apimetry.cli.access_logs.targets import Collector, Stored
from apimetry.cli.client import PATIENCE_S
from apimetry.cli.connection import Connection, with_connection
from apimetry.cli.output import note, print_record

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
              help="combined-s ends in seconds ($request_time, %T), combined-us in microseconds (%D)")  # fmt: skip
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
    zone: str,
    urls: str,
    client_ip: str,
    users: bool,
    user_agents: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add the requests in access logs of nginx, Apache, Caddy and uvicorn; `-` is standard input, gzip is read too.

    Repeating it adds nothing twice: not the same file, renamed, compressed or grown.
    """
    for client in (connection.collector(), connection.query()):
        client.require()
    collector = Collector(connection.collector(patience_s=PATIENCE_S))
    stored = Stored(connection.query(patience_s=PATIENCE_S), source)
    choices = Choices(source, urls, client_ip, users=users, user_agents=user_agents)
    time_zone = _zone(zone)
    total = _size(files)
    importer = Importer(None if dry_run else collector, stored, choices)
    damaged = _run(importer, files, form, time_zone, total)
    importer.settle()
    _print(importer.result, dry_run=dry_run, as_json=as_json)
    if importer.result.lines and importer.result.unreadable == importer.result.lines:
        damaged.append("no line could be read")
    if damaged:
        raise click.ClickException("; ".join(damaged))


def _run(importer: Importer, files: tuple[str, ...], form: str, zone: tzinfo, total: int | None) -> list[str]:
    """Add every file, and return what was wrong with some of them."""
    damaged = []
    with _progress(total, importer.result) as advance:
        for name in files:
            position = 0
            try:
                with open_log(name) as log:
                    for detected in importer.add(name, log, form, zone):
                        advance(f"{name} ({detected})", log.position - position)
                        position = log.position
            except DamagedLog as error:
                damaged.append(f"{name} breaks off ({error}); the lines before were added")
            except BadLine as error:
                damaged.append(f"{name}: {error}; give its --format, one of {', '.join(FORMATS)}")
            except OSError as error:
                damaged.append(f"{name} cannot be read: {error.strerror}")
    return damaged


@contextmanager
def _progress(total: int | None, result: Result) -> Iterator[Callable[[str, int], None]]:
    """A bar on a terminal, a line every few seconds elsewhere; both on standard error."""
    if total and sys.stderr.isatty():
        with click.progressbar(length=total, label="Importing", file=sys.stderr) as bar:
            yield lambda _, count: bar.update(count)
        return
    reported_s = time.monotonic()

    def report(what: str, _: int) -> None:
        nonlocal reported_s
        if time.monotonic() - reported_s >= _REPORT_EVERY_S:
            reported_s = time.monotonic()
            note(f"{what}: {result.lines} lines read, {result.imported} imported")

    yield report


def _print(result: Result, *, dry_run: bool, as_json: bool) -> None:
    record: dict[str, object] = {
        "lines": result.lines,
        "imported": result.imported,
        "already_there": result.already_there,
        "older_than_retention": result.older_than_retention,
        "in_the_future": result.in_the_future,
        "rejected": result.rejected,
        "not_requests": result.not_requests,
        "unreadable": result.unreadable,
        "without_time": result.without_time,
        "dry_run": dry_run,
    }
    if as_json:
        shown = [{"file": name, "line": number, "reason": reason} for name, number, reason in result.examples]
        print(json.dumps({**record, "reasons": dict(result.reasons), "examples": shown}, indent=2))
        return
    print_record({name: value for name, value in record.items() if value or name in ("lines", "imported")},
                 as_json=False)  # fmt: skip
    for name, number, reason in result.examples:
        note(f"{name}:{number}: {reason}")
    if result.without_time:
        note(f"{result.without_time} lines do not say how long the response took: it counts as 0")


def _zone(name: str) -> tzinfo:
    try:
        return timezone.utc if name == "UTC" else ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise click.UsageError(f"--timezone: {name!r} is not the name of a time zone") from error


def _size(files: tuple[str, ...]) -> int | None:
    try:
        return size_of(files)
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {os.strerror(error.errno or 0)}") from error
