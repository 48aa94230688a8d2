"""The `apimetry` command. Exit codes: 0 done, 1 failed, 2 wrong usage; errors go to standard error.

A command's module is imported when the command runs: `--version` and `--help` need this table alone.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Final

# `pip install apimetry` installs the middleware and this command, but not the packages that the command needs.
_EXTRAS: Final = "pip install 'apimetry[embedded]', or 'apimetry[server]' where a ClickHouse server is used"

try:
    import click
except ModuleNotFoundError as missing:
    sys.exit(f"Error: {missing.name} is not installed: {_EXTRAS}")

# Command name → its module and function, and the first sentence of its help.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "serve": (
        "serve:serve",
        "Run collector and query service in one process, over the embedded store or ClickHouse.",
    ),
    "collector": ("serve:collector", "Run a collector alone, against a ClickHouse server."),
    "query": ("serve:query", "Run a query service alone, against a ClickHouse server."),
    "migrate": ("serve:migrate", "Bring the store's schema up to date."),
    "backup": (
        "backup:backup",
        "Back up events, accounts and the batches seen; the spool's events are stored first.",
    ),
    "restore": ("backup:restore", "Restore a backup into an empty store, and compare what came out."),
    "demo": (
        "demo.command:demo",
        "Run example applications under generated traffic, beside a `serve` with its own data directory.",
    ),
    "doctor": ("doctor:doctor", "Walk app, collector, spool, store and query; say which hop fails and what to do."),
    "tail": ("tail:tail", "Print events as they arrive, until interrupted."),
    "top": (
        "top:top",
        "Print the routes, consumers, versions and so on with the most requests, errors or time spent.",
    ),
    "usage": ("usage:usage", "Print an application's totals, routes, consumers, errors and warnings."),
    "import": ("access_logs.command:import_", "Add history from elsewhere."),
    "applications": ("manage:applications", "List, create and delete the organization's applications."),
    "keys": ("manage:keys", "Show the first keys; list, create, rotate and delete the organization's keys."),
    "links": ("access:links", "List, create and revoke links, which show a part of an application without a key."),
    "sessions": ("access:sessions", "List and revoke the sessions of people who are signed in to the dashboard."),
    "alerts": ("alerts:alerts", "List, create and delete alert rules."),
    "spool": ("spool:spool", "Look at the collector's spool, check it, and put quarantined events back."),
}


class Commands(click.Group):
    """The group of all commands. It imports a command only to run it, and cleans the text of its errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; a missing extra becomes an error that names the extra."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(f"apimetry.cli.{module}"), attribute)
        except ModuleNotFoundError as error:
            raise _missing(error) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, without importing the commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; see `click.Group`."""
        from apimetry.cli.output import printable, warn

        try:
            from apimetry.cli import environment

            for text in environment.misspelt(os.environ):
                warn(text)
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _missing(error) from error
        except click.ClickException as error:
            # The message may contain a file name or the text of a service's response.
            vars(error)["message"] = printable(error.message)
            raise


def _missing(error: ModuleNotFoundError) -> Exception:
    """Return the error for a missing module: of another package, a sentence that names the extra to install."""
    name = error.name or ""
    return error if name.startswith("apimetry") else click.ClickException(f"{name} is not installed: {_EXTRAS}")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="apimetry", prog_name="apimetry")
def main() -> None:
    """Self-hosted analytics for HTTP APIs."""
