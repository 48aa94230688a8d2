"""`apimetry usage`: what an application was asked and how it answered, in one screen."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import Final

import click
from rich.console import Group, RenderableType

from apimetry.cli.connection import JSON_OPTION, Connection, with_connection
from apimetry.cli.filters import Parameters, with_filters
from apimetry.cli.tables import table
from apimetry.cli.watching import WATCH_OPTION, Answer, client, show

# A copy of the service's names: a command that only calls a service does not import it. A test compares them.
TIMEFRAMES: Final = ("1h", "24h", "7d", "30d", "90d", "1y", "all")
_TOTALS: Final = {
    "totalRequests": "requests",
    "failedRequests": "errors",
    "successRate": "success %",
    "averageLatency": "mean ms",
    "peakLatency": "max ms",
    "requestsPerMinute": "per minute",
    "peakRequestsPerMinute": "most in a minute",
    "dataTransferred": "bytes",
}
_ENDPOINTS: Final = {
    "endpoint": "route",
    "requests": "requests",
    "successRate": "success %",
    "averageLatency": "mean ms",
    "p95": "p95 ms",
    "dataTransferred": "bytes",
}
_CONSUMERS: Final = {"keyId": "consumer", "requests": "requests", "percentage": "share %"}
_ERRORS: Final = {"type": "error", "count": "requests", "percentage": "share %"}


@click.command()
@with_connection("query_url", "read_key")
@with_filters
@click.option("--timeframe", type=click.Choice(TIMEFRAMES), default="24h", show_default=True, help="until now")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="rows of a table at most")
@WATCH_OPTION
@JSON_OPTION
def usage(  # noqa: PLR0913 - the options of a command
    connection: Connection, *, filters: Parameters, timeframe: str, limit: int, watch: bool, as_json: bool
) -> None:
    """Print an application's totals, routes, consumers, errors and warnings."""
    query = client(connection, watch=watch)
    path = f"/v1/developer/usage?{urllib.parse.urlencode([('timeframe', timeframe), *filters])}"

    def render(answer: Answer) -> RenderableType:
        try:
            return Group(*_tables(answer, timeframe, limit))
        except (KeyError, TypeError):
            raise click.ClickException(query.foreign_message()) from None

    show(lambda: query.call_json("GET", path), render, as_json=as_json, watch=watch)


def _tables(answer: Answer, timeframe: str, limit: int) -> Iterator[RenderableType]:
    yield table("Usage", ["", timeframe], [[text, answer["usage"][name]] for name, text in _TOTALS.items()])
    lists = (
        ("Routes", _ENDPOINTS, answer["breakdown"]["byEndpoint"]),
        ("Consumers", _CONSUMERS, answer["breakdown"]["byKey"]),
        ("Errors", _ERRORS, answer["errors"]["byType"]),
    )
    for title, columns, rows in lists:
        if rows:
            cells = [[row[name] for name in columns] for row in rows[:limit]]
            yield table(title, list(columns.values()), cells)
    if answer["alerts"]:
        cells = [[alert["priority"], alert["message"], alert["recommendation"]] for alert in answer["alerts"]]
        yield table("Warnings", ["priority", "what", "advice"], cells, texts=3)
