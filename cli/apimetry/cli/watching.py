"""`--watch`: a command asks again and again, and prints the newest answer in the place of the one before."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from rich.console import Console, RenderableType
from rich.live import Live

from apimetry.cli.client import PATIENCE_S, Client
from apimetry.cli.connection import Connection
from apimetry.cli.output import print_json

PAUSE_S: Final = 2.0
WATCH_OPTION: Final = click.option("--watch", is_flag=True, help=f"ask again every {PAUSE_S:g} s, until interrupted")
# In a pipe nothing is cut or wrapped.
_PIPE_COLUMNS: Final = 1_000

Answer = dict[str, Any]


def client(connection: Connection, *, watch: bool) -> Client:
    """Return a client with the read key; with `watch`, a restart of the query service does not end the command."""
    return connection.query(patience_s=PATIENCE_S if watch else 0.0)


def show(  # noqa: PLR0913 - what is asked and how it is shown
    ask: Callable[[], Answer],
    render: Callable[[Answer], RenderableType],
    *,
    as_json: bool,
    watch: bool,
    console: Console | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Print what `ask` returns, as JSON or as `render` makes it for people.

    With `watch`, it asks until interrupted. A terminal shows the newest answer alone; a pipe gets all answers, and
    each answer as JSON is one line.
    """
    printer = console or Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    with contextlib.suppress(KeyboardInterrupt):
        if not watch and as_json:
            print_json(ask())
        elif not watch:
            printer.print(render(ask()))
        elif as_json:
            for answer in _again(ask, sleep):
                print(json.dumps(answer), flush=True)
        else:
            _show_newest(map(render, _again(ask, sleep)), printer)


def _again(ask: Callable[[], Answer], sleep: Callable[[float], None]) -> Iterator[Answer]:
    while True:
        yield ask()
        sleep(PAUSE_S)


def _show_newest(pictures: Iterator[RenderableType], console: Console) -> None:
    if not console.is_terminal:
        for picture in pictures:
            console.print(picture)
            console.file.flush()
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for picture in pictures:
            live.update(picture, refresh=True)
