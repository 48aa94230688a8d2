"""`apimetry tail`: events as they arrive."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping

import click

from apimetry.cli.client import PATIENCE_S, Client
from apimetry.cli.connection import JSON_OPTION, Connection, with_connection
from apimetry.cli.event_stream import Follower
from apimetry.cli.filters import Parameters, with_filters
from apimetry.cli.output import note, one_line

_FIELDS = ("fields", "timestamp,method,url,status_code,response_us,consumer_id,route,source")
_PAGE_EVENTS = "500"
# The clock of a sender may run ahead of ours.
_AHEAD_S = 5
# A stream looks back 60 s. An older event is not in it.
_REMEMBERED_S = 180


@click.command()
@with_connection("query_url", "read_key")
@with_filters
@click.option("--last-s", type=click.IntRange(0, 86_400), default=0, show_default=True,
              help="begin with the events of the last seconds")  # fmt: skip
@click.option("--once", is_flag=True, help="end after the events of --last-s")
@JSON_OPTION
def tail(connection: Connection, *, filters: Parameters, last_s: int, once: bool, as_json: bool) -> None:
    """Print events as they arrive, until interrupted. With --json, each is one line."""
    query = connection.query()
    with contextlib.suppress(KeyboardInterrupt):
        if once:
            _print_stored(query, filters, last_s, as_json=as_json)
            return
        # A restart of the query service does not end the command. The stream begins before stored events are read, so
        # that none is missed; those that are in both are printed once.
        path = f"/v1/events/live?{urllib.parse.urlencode([_FIELDS, *filters])}"
        following = Follower(query, connection.query(patience_s=PATIENCE_S), path)
        printed = _print_stored(query, filters, last_s, as_json=as_json)
        for message in following.messages():
            if message.kind == "thinned":
                note(f"{message.data['shown']} of {message.data['of']} events are shown")
            elif message.id not in printed:
                _print(message.data, as_json=as_json)


def _print_stored(query: Client, filters: Parameters, last_s: int, *, as_json: bool) -> frozenset[str]:
    """Print the events of the last seconds, and return the ids of those that may be in a stream as well."""
    ids, since_s = set(), time.time() - _REMEMBERED_S
    for event in _stored(query, filters, last_s) if last_s else ():
        event_id = str(event.pop("id"))
        if float(str(event["timestamp"])) >= since_s:
            ids.add(event_id)
        _print(event, as_json=as_json)
    return frozenset(ids)


def _stored(query: Client, filters: Parameters, last_s: int) -> Iterator[dict[str, object]]:
    now_s = time.time()
    span = [("start", str(int(now_s) - last_s)), ("end", str(int(now_s) + _AHEAD_S)), ("order", "asc")]
    parameters = [*span, ("limit", _PAGE_EVENTS), _FIELDS, *filters]
    cursor: str | None = ""
    while cursor is not None:
        page = query.call_json("GET", f"/v1/events?{urllib.parse.urlencode([*parameters, ('cursor', cursor)])}")
        try:
            events, cursor = page["events"], page["next"]
        except KeyError:
            raise click.ClickException(query.foreign_message()) from None
        yield from events


def _print(event: Mapping[str, object], *, as_json: bool) -> None:
    click.echo(json.dumps(event) if as_json else _line(event))


def _line(event: Mapping[str, object]) -> str:
    stamp = time.strftime("%H:%M:%S", time.gmtime(float(str(event["timestamp"]))))
    response_us = event["response_us"]
    duration = f"{response_us / 1000:9.1f} ms" if isinstance(response_us, int) else f"{'-':>9}   "
    shown = f"{event['method']} {event['url']}  {event['consumer_id']}"
    return one_line(f"{stamp}  {event['status_code']}  {duration}  {shown}").rstrip()
