"""`apimetry spool`: look at a spool on this machine and put quarantined rows back. No service needs to run."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path

import click

from apimetry.cli.output import print_record, print_rows
from apimetry.cli.settings import SettingsError, load
from apimetry.collector.errors import SpoolError
from apimetry.collector.spool import inspection, replay
from apimetry.collector.spool.files import RealFiles

_DATA_DIR = click.option(
    "--data-dir", help="folder of the spool [env: APIMETRY_DATA_DIR] [default: ./apimetry-data]", metavar="VALUE"
)
_JSON = click.option("--json", "as_json", is_flag=True, help="print JSON")


def _directory(data_dir: str | None) -> Path:
    try:
        settings = load({"data_dir": data_dir}, os.environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    directory = Path(settings.data_dir).expanduser().absolute() / "spool"
    if not directory.is_dir():
        raise click.ClickException(
            f"there is no spool in {directory.parent}: --data-dir (APIMETRY_DATA_DIR) names that of the collector"
        )
    return directory


@click.group()
def spool() -> None:
    """Look at the collector's spool, check it, and put quarantined events back."""


@spool.command()
@_DATA_DIR
@_JSON
def status(data_dir: str | None, *, as_json: bool) -> None:
    """Print what waits for the store, and what is in the quarantine."""
    try:
        report = asdict(inspection.status_of(_directory(data_dir)))
    except (SpoolError, OSError) as error:
        raise click.ClickException(str(error)) from error
    oldest_ns = report.pop("oldest_ns")
    oldest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(oldest_ns / 1e9)) if oldest_ns else None
    print_record({**report, "oldest": oldest}, as_json=as_json)


@spool.command()
@_DATA_DIR
@_JSON
def verify(data_dir: str | None, *, as_json: bool) -> None:
    """Check every segment's checksums; exit 1 where something cannot be stored."""
    try:
        segments = list(inspection.verify(_directory(data_dir)))
    except (SpoolError, OSError) as error:
        raise click.ClickException(str(error)) from error
    rows = [{**asdict(segment), "whole": segment.whole} for segment in segments]
    columns = ["name", "records", "events", "damaged_bytes", "missing_events", "whole", "problem"]
    print_rows(rows, columns, as_json=as_json)
    damaged = sum(not segment.whole for segment in segments)
    if damaged:
        raise click.ClickException(
            f"{damaged} of {len(segments)} segments are damaged; what is whole in them is stored all the same"
        )


@spool.command(name="replay")
@_DATA_DIR
@_JSON
def put_back(data_dir: str | None, *, as_json: bool) -> None:
    """Put quarantined rows back into the spool: the next collector stores them, each once."""
    try:
        replayed = replay.replay(_directory(data_dir), RealFiles())
    except (SpoolError, OSError) as error:
        raise click.ClickException(str(error)) from error
    print_rows([asdict(segment) for segment in replayed], ["name", "rows", "kept"], as_json=as_json)
