"""`apimetry top`: which routes, consumers or versions have the most requests, errors or time."""

from __future__ import annotations

import time
import urllib.parse
from typing import Final

import click
from rich.console import RenderableType

from apimetry.cli.client import Client
from apimetry.cli.connection import JSON_OPTION, Connection, with_connection
from apimetry.cli.filters import Parameters, with_filters
from apimetry.cli.tables import table
from apimetry.cli.watching import WATCH_OPTION, Answer, client, show

_HEADINGS: Final = {
    "requests": "requests",
    "errors": "errors",
    "errorRate": "error %",
    "p50Ms": "p50 ms",
    "p95Ms": "p95 ms",
    "timeShare": "time %",
}


@click.command()
@with_connection("query_url", "read_key")
@with_filters
@click.option("--by", default="route", show_default=True, metavar="FIELD[,FIELD…]",
              help="what a row is: one to three fields, as route,method or consumer_id")  # fmt: skip
@click.option("--sort", default="requests", show_default=True, metavar="MEASURE",
              help="what the rows are sorted by, the largest first: requests, errors, p95Ms, …")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="rows at most")
@click.option("--last-s", type=click.IntRange(min=1), default=3600, show_default=True,
              help="ask about the last seconds")  # fmt: skip
@WATCH_OPTION
@JSON_OPTION
def top(  # noqa: PLR0913 - the options of a command
    connection: Connection,
    *,
    filters: Parameters,
    by: str,
    sort: str,
    limit: int,
    last_s: int,
    watch: bool,
    as_json: bool,
) -> None:
    """Print the routes, consumers, versions and so on with the most requests, errors or time spent."""
    query = client(connection, watch=watch)
    parameters = [("by", by), ("measures", ",".join(_HEADINGS)), ("sort", sort), ("limit", str(limit)), *filters]

    def ask() -> Answer:
        start = max(0, int(time.time()) - last_s)
        return query.call_json("GET", f"/v1/breakdown?{urllib.parse.urlencode([('start', str(start)), *parameters])}")

    show(ask, lambda answer: _render(answer, last_s, query), as_json=as_json, watch=watch)


def _render(answer: Answer, last_s: int, query: Client) -> RenderableType:
    try:
        by, total, rows = answer["by"], answer["total"], answer["rows"]
        cells = [[*row["key"], *(row[name] for name in _HEADINGS)] for row in rows]
        count = answer["pagination"]["total"]
        title = f"{total['requests']:,} requests, {total['errors']:,} errors in {last_s:,} s"
    except (KeyError, TypeError):
        raise click.ClickException(query.foreign_message()) from None
    if count > len(rows):
        title += f"; {len(rows):,} of {count:,} rows"
    return table(title, [*by, *_HEADINGS.values()], cells, texts=len(by))
