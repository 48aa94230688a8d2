"""`apimetry backup` and `apimetry restore`: the commands."""

from __future__ import annotations

import click

from apimetry.cli.serve import with_settings
from apimetry.cli.settings import Settings

_JSON = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.command()
@click.argument("destination")
@with_settings
@_JSON
def backup(settings: Settings, *, destination: str, as_json: bool) -> None:
    """Back up events, accounts and the batches seen; the spool's events are stored first.

    DESTINATION is a new folder. With a ClickHouse server it is what BACKUP takes after TO, such as
    "Disk('backups', 'monday')".
    """
    from apimetry.cli import backing_up

    backing_up.backup(settings, destination, as_json=as_json)


@click.command()
@click.argument("source")
@with_settings
@_JSON
def restore(settings: Settings, *, source: str, as_json: bool) -> None:
    """Restore a backup into an empty store, and compare what came out.

    SOURCE is the folder of a backup. With a ClickHouse server it is what RESTORE takes after FROM.
    """
    from apimetry.cli import backing_up

    backing_up.restore(settings, source, as_json=as_json)
