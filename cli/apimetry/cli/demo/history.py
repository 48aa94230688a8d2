"""The hours before the demo starts, as events that are sent to the collector."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import click

from apimetry.cli.demo.traffic import Request, Schedule, Traffic

_BATCH_EVENTS: Final = 2000
OTHER_VERSION: Final = "1.8.0"
"""The version of the applications that are not deployed meanwhile."""


def past_events(
    traffic: Traffic, schedule: Schedule, start_s: float, end_s: float, per_second: float
) -> Iterator[Any]:
    """Yield the JSON events of `[start_s, end_s)`, ascending."""
    for time_s in traffic.times(start_s, end_s, per_second):
        request = traffic.request_at(time_s)
        is_shop = request.endpoint.application == "shop"
        version = schedule.version_at(time_s) if is_shop else OTHER_VERSION
        yield event_of(request, time_s, version)


def event_of(request: Request, time_s: float, version: str) -> dict[str, Any]:
    """Return a request as an event of the collector's JSON."""
    endpoint = request.endpoint
    duration_us = int(request.duration_ms * 1000)
    return {
        "timestamp": round(time_s, 6),
        "method": endpoint.method,
        "url": request.path,
        "route": endpoint.route,
        "function": f"apimetry.cli.demo.applications.{endpoint.application}.{endpoint.function}",
        "status_code": request.status,
        "response_us": duration_us,
        "ttfb_us": duration_us * 9 // 10,
        "request_bytes": 320 if endpoint.method == "POST" else 0,
        "response_bytes": 200 + duration_us % 4000,
        "consumer_id": request.consumer,
        "error_type": request.error_type,
        "source": endpoint.application,
        "version": version,
    }


def send(events: Iterator[Any], collector_url: str, write_key: str) -> int:
    """Send events in batches, and return their number.

    Raises:
        click.ClickException: the collector refused a batch.
    """
    address = urlsplit(collector_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    sent = 0
    batch: list[Any] = []
    for event in events:
        batch.append(event)
        if len(batch) == _BATCH_EVENTS:
            sent += _post(connection, batch, write_key)
            batch = []
    if batch:
        sent += _post(connection, batch, write_key)
    connection.close()
    return sent


def _post(connection: http.client.HTTPConnection, batch: list[Any], write_key: str) -> int:
    headers = {"Content-Type": "application/json", "X-API-Key": write_key}
    connection.request("POST", "/1/event/", json.dumps(batch), headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise click.ClickException(
            f"the collector refused the demo's events: {answer.decode(errors='replace')[:300]}"
        )
    return len(batch)
