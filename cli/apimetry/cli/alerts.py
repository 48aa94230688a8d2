"""`apimetry alerts`: alert rules from the shell, by way of a running query service."""

from __future__ import annotations

import urllib.parse

import click

from apimetry.cli.manage import Service, with_service
from apimetry.cli.output import print_record, print_rows
from apimetry.store.alerts.records import Direction, Metric

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
@with_service
def list_alerts(service: Service, *, as_json: bool) -> None:
    """List the organization's alert rules and where each stands."""
    rows = list(service.rows("/api/alerts", "alerts"))
    if not as_json:
        rows = [{**row, **_standing(row["state"])} for row in rows]
    print_rows(rows, COLUMNS, as_json=as_json)


@alerts.command("create")
@click.option("--application", required=True, help="id of the application that it watches")
@click.option("--name", required=True, help="what people call it")
@click.option("--metric", type=click.Choice([each.value for each in Metric]), required=True, help="what it measures")
@click.option("--threshold", type=float, help="percent, milliseconds or requests; not for no_data")
@click.option(
    "--direction", type=click.Choice([each.value for each in Direction]), help="the side that fires [default: above]"
)
@click.option("--percentile", type=click.IntRange(1, 99), help="which one, for latency_percentile")
@click.option("--include", multiple=True, metavar="FIELD:VALUE", help="only these events; repeatable")
@click.option("--exclude", multiple=True, metavar="FIELD:VALUE", help="not these events; repeatable")
@click.option("--window-s", type=click.IntRange(min=60), help="seconds that it looks back [default: 300]")
@click.option("--minimum-requests", type=click.IntRange(min=0), help="fewer than this are not judged")
@click.option("--cooldown-s", type=click.IntRange(min=0), help="seconds before it fires again [default: 300]")
@click.option("--webhook-url", help="where firing and resolving are sent")
@with_service
def create_alert(service: Service, *, as_json: bool, **options: object) -> None:
    """Create an alert rule and print it, with its webhook's secret, which is shown this once."""
    body = {_member(name): value for name, value in options.items() if value not in (None, ())}
    made = service.call("POST", "/api/alerts", body)
    print_record({"secret": made["secret"], **made["alert"]}, as_json=as_json)


@alerts.command("delete")
@click.argument("alert_id", metavar="ID")
@with_service
def delete_alert(service: Service, *, alert_id: str, as_json: bool) -> None:
    """Delete an alert rule."""
    service.call("DELETE", f"/api/alerts/{urllib.parse.quote(alert_id, safe='')}")
    print_record({"deleted": alert_id}, as_json=as_json)


def _member(option: str) -> str:
    first, *others = option.split("_")
    return first + "".join(each.capitalize() for each in others)


def _standing(state: object) -> dict[str, object]:
    return dict(state) if isinstance(state, dict) else {}
