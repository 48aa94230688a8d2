"""The `apimetry` command. Exit codes: 0 done, 1 failed, 2 wrong usage; errors go to standard error."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

try:
    import click

    from apimetry.cli import alerts, doctor, logs, manage, running, spool, tail
    from apimetry.cli.access_logs import command as access_logs
    from apimetry.cli.opening import StartError
    from apimetry.cli.settings import CONFIG_FILE, TABLE, SettingInfo, Settings, SettingsError, load
    from apimetry.collector.errors import SpoolError
    from apimetry.store.errors import StoreError
except ModuleNotFoundError as missing:
    # `pip install apimetry` is the middleware alone; the command is there, what it runs is not.
    if (missing.name or "").startswith("apimetry"):
        raise
    sys.exit(f"apimetry: {missing.name} is not installed: pip install 'apimetry[embedded]' (or apimetry[server])")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("apimetry"), prog_name="apimetry")
def main() -> None:
    """Self-hosted analytics for HTTP APIs."""


def _default(info: SettingInfo) -> str:
    if info.default == "":
        return ""
    return f" [default: {str(info.default).lower() if isinstance(info.default, bool) else info.default}]"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every setting as an option, and the loaded `Settings` as its first argument."""

    @functools.wraps(command)
    def wrapper(config: Path | None, **arguments: Any) -> None:  # noqa: ANN401 - click passes options by name
        own = {name: value for name, value in arguments.items() if name not in names}
        reload = functools.partial(load, {name: arguments[name] for name in names}, os.environ, config)
        try:
            settings = reload()
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
        logs.configure(settings.log_level)
        click.get_current_context().obj = reload
        try:
            command(settings, **own)
        except (StartError, SpoolError, StoreError) as error:
            raise click.ClickException(str(error)) from error

    names = [info.name for info in TABLE]
    for info in reversed(TABLE):
        text = f"{info.description}{_default(info)} [env: {info.environment}]"
        wrapper = click.option(info.option, info.name, metavar="VALUE", help=text)(wrapper)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"settings file [default: {CONFIG_FILE} if there is one]",
    )(wrapper)


def _reload() -> running.Reload:
    """What reads the running command's settings anew."""
    reload: running.Reload = click.get_current_context().obj
    return reload


@main.command()
@with_settings
def serve(settings: Settings) -> None:
    """Run collector and query service in one process, over the embedded store or a ClickHouse server."""
    asyncio.run(running.run(settings, collector=True, query=True, reload=_reload()))


@main.command()
@with_settings
def collector(settings: Settings) -> None:
    """Run a collector alone, against a ClickHouse server."""
    asyncio.run(running.run(settings, collector=True, query=False, reload=_reload()))


@main.command()
@with_settings
def query(settings: Settings) -> None:
    """Run a query service alone, against a ClickHouse server."""
    asyncio.run(running.run(settings, collector=False, query=True, reload=_reload()))


@main.command()
@with_settings
@click.option("--dry-run", is_flag=True, help="print the statements and change nothing")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def migrate(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    """Bring the store's schema up to date."""
    running.migrate(settings, dry_run=dry_run, as_json=as_json)


main.add_command(manage.applications)
main.add_command(manage.keys)
main.add_command(access_logs.import_)
main.add_command(alerts.alerts)
main.add_command(spool.spool)
main.add_command(tail.tail)
main.add_command(doctor.doctor)
