"""`apimetry serve`, `collector`, `query` and `migrate`: the commands that take every setting."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apimetry.cli.settings import CONFIG_FILE, TABLE, SettingInfo, Settings, SettingsError, load

if TYPE_CHECKING:
    from apimetry.cli.running import Reload


def _default(info: SettingInfo) -> str:
    if info.default == "":
        return ""
    return f" [default: {str(info.default).lower() if isinstance(info.default, bool) else info.default}]"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every setting as an option, and the loaded `Settings` as its first argument."""

    @functools.wraps(command)
    def wrapper(config: Path | None, **arguments: Any) -> None:  # noqa: ANN401 - click passes options by name
        command_options = {name: value for name, value in arguments.items() if name not in names}
        reload = functools.partial(load, {name: arguments[name] for name in names}, os.environ, config)
        try:
            settings = reload()
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
        _run(command, settings, reload, command_options)

    names = [info.name for info in TABLE]
    for info in reversed(TABLE):
        exposed = "; shows in process lists: prefer the variable" if info.secret else ""
        text = f"{info.description}{exposed}{_default(info)} [env: {info.environment}]"
        wrapper = click.option(info.option, info.name, metavar="VALUE", help=text)(wrapper)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"settings file [default: {CONFIG_FILE} if there is one]",
    )(wrapper)


def _run(command: Callable[..., None], settings: Settings, reload: Reload, command_options: dict[str, Any]) -> None:
    """Run a command; an error that stops it becomes one sentence."""
    from apimetry.cli import banner, logs
    from apimetry.cli.start_error import StartError
    from apimetry.collector.errors import SpoolError
    from apimetry.store.errors import StoreError, is_transient

    logs.configure(settings.log_level, settings.log_format)
    click.get_current_context().obj = reload
    try:
        command(settings, **command_options)
    except (StartError, SpoolError, StoreError) as error:
        prefix = f"{banner.store_name(settings)}: " if isinstance(error, StoreError) and is_transient(error) else ""
        if settings.log_format == "text":
            raise click.ClickException(f"{prefix}{error}") from error
        logging.getLogger(__name__).critical("%s%s", prefix, error)
        raise SystemExit(1) from error


@click.command()
@with_settings
def serve(settings: Settings) -> None:
    """Run collector and query service in one process, over the embedded store or ClickHouse."""
    _run_services(settings, collector=True, query=True)


@click.command()
@with_settings
def collector(settings: Settings) -> None:
    """Run a collector alone, against a ClickHouse server."""
    _run_services(settings, collector=True, query=False)


@click.command()
@with_settings
def query(settings: Settings) -> None:
    """Run a query service alone, against a ClickHouse server."""
    _run_services(settings, collector=False, query=True)


def _run_services(settings: Settings, *, collector: bool, query: bool) -> None:
    import asyncio

    from apimetry.cli import running

    reload: Reload = click.get_current_context().obj
    asyncio.run(running.run(settings, collector=collector, query=query, reload=reload))


@click.command()
@with_settings
@click.option("--dry-run", is_flag=True, help="print the statements and change nothing")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def migrate(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    """Bring the store's schema up to date."""
    from apimetry.cli import migrating

    migrating.migrate(settings, dry_run=dry_run, as_json=as_json)
