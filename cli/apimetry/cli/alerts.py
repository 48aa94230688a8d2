"""`apimetry alerts`: alert rules from the shell, by way of a running query service."""

from __future__ import annotations

import urllib.parse

import click

from apimetry.cli.client import Client
from apimetry.cli.connection import first_line_of
from apimetry.cli.manage import member_of, with_admin
from apimetry.cli.output import print_record, print_rows

# A copy of the store's names: a command that only calls a service does not import the store. A test compares them.
METRICS = ("error_rate", "latency_mean", "latency_percentile", "request_count", "limit_utilization", "no_data")
DIRECTIONS = ("above", "below")
CHANNELS = ("webhook", "slack", "teams", "discord", "pagerduty", "email")
COLUMNS = (
    "id",
    "application",
    "name",
    "metric",
    "direction",
    "threshold",
    "windowS",
    "paused",
    "status",
    "lastValue",
)


@click.group()
def alerts() -> None:
    """List, create and delete alert rules."""


@alerts.command("list")
@with_admin
def list_alerts(query: Client, *, as_json: bool) -> None:
    """List the organization's alert rules and where each stands."""
    rows = list(query.rows("/api/alerts", "alerts"))
    if not as_json:
        rows = [{**row, **_standing(row["state"])} for row in rows]
    print_rows(rows, COLUMNS, as_json=as_json)


@alerts.command("create")
@click.option("--application", required=True, help="id of the application that it watches")
@click.option("--name", required=True, help="what people call it")
@click.option("--metric", type=click.Choice(METRICS), required=True, help="what it measures")
@click.option("--threshold", type=float, help="percent, milliseconds or requests; not for no_data")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="the side that fires [default: above]")
@click.option("--percentile", type=click.IntRange(1, 99), help="which one, for latency_percentile")
@click.option("--include", multiple=True, metavar="FIELD:VALUE", help="only these events; repeatable")
@click.option("--exclude", multiple=True, metavar="FIELD:VALUE", help="not these events; repeatable")
@click.option("--has", multiple=True, metavar="FIELD:TEXT", help="only events that contain this text; repeatable")
@click.option("--min-response-us", type=click.IntRange(min=0), help="only events that took at least so long")
@click.option("--max-response-us", type=click.IntRange(min=0), help="only events that took at most so long")
@click.option("--window-s", type=click.IntRange(min=60), help="seconds that it looks back [default: 300]")
@click.option("--minimum-requests", type=click.IntRange(min=0), help="fewer than this are not judged")
@click.option("--cooldown-s", type=click.IntRange(min=0), help="seconds before it fires again [default: 300]")
@click.option("--webhook-url", help="where firing and resolving are sent: https://… or mailto:…")
@click.option("--channel", type=click.Choice(CHANNELS), help="form of the messages [default: told by the address]")
@click.option("--routing-key", help="integration key, for the channel pagerduty; shows in process lists")
@click.option("--routing-key-file", help="a file with that key in its first line; - is standard input")
@with_admin
def create_alert(query: Client, *, routing_key_file: str | None, as_json: bool, **options: object) -> None:
    """Create an alert rule and print it, with its webhook's secret, which is shown this once."""
    if routing_key_file is not None:
        if options["routing_key"] is not None:
            raise click.UsageError("--routing-key and --routing-key-file are both given; one of them is enough")
        options["routing_key"] = first_line_of(routing_key_file)
    body = {member_of(name): value for name, value in options.items() if value not in (None, ())}
    response = query.call_json("POST", "/api/alerts", body)
    print_record({"secret": response["secret"], **response["alert"]}, as_json=as_json)


@alerts.command("delete")
@click.argument("alert_id", metavar="ID")
@with_admin
def delete_alert(query: Client, *, alert_id: str, as_json: bool) -> None:
    """Delete an alert rule."""
    query.call_json("DELETE", f"/api/alerts/{urllib.parse.quote(alert_id, safe='')}")
    print_record({"deleted": alert_id}, as_json=as_json)


def _standing(state: object) -> dict[str, object]:
    return dict(state) if isinstance(state, dict) else {}
