"""`apimetry tail`: events as they arrive."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

import click
import msgspec

from apimetry.cli.client import PATIENCE_S, Client
from apimetry.cli.connection import JSON_OPTION, Connection, with_connection
from apimetry.cli.output import one_line

# An event is sent after its request has ended, and is stored within two seconds. So a request that took longer than
# this is not printed.
LOOK_BACK_S = 60
_MAX_REMEMBERED = 200_000
_FIELDS = "timestamp,method,url,status_code,response_us,consumer_id,route,source"


class Tail:
    """Query the last seconds repeatedly; `new` yields the events that were not there before.

    Mutable state: the events that were yielded.
    """

    def __init__(self, query: Client, filters: tuple[str, ...], *, clock: Callable[[], float] = time.time) -> None:
        self.query = query
        self._filters = [("include", filter_) for filter_ in filters]
        self._clock = clock
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def new(self, look_back_s: int = LOOK_BACK_S) -> Iterator[dict[str, object]]:
        """Yield the events of the last `look_back_s` seconds that were not yielded before, ordered by time."""
        now_s = int(self._clock())
        span = [("start", str(max(0, now_s - look_back_s))), ("end", str(now_s + 5)), ("fields", _FIELDS)]
        body, _ = self.query.call(f"/v1/export/events?{urllib.parse.urlencode([*span, *self._filters])}")
        counts: dict[bytes, int] = {}
        for line in body.splitlines():
            # Equal events have equal lines: only their number shows a new one.
            counts[line] = counts.get(line, 0) + 1
            if counts[line] > self._seen.get(line, 0):
                yield self._event_in(line)
        for line, count in counts.items():
            self._seen[line] = max(count, self._seen.get(line, 0))
            self._seen.move_to_end(line)
        while len(self._seen) > _MAX_REMEMBERED:
            self._seen.popitem(last=False)

    def _event_in(self, line: bytes) -> dict[str, object]:
        try:
            return msgspec.json.decode(line, type=dict[str, object])
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise click.ClickException(self.query.foreign_message()) from None


@click.command()
@with_connection("query_url", "read_key")
@click.option("--include", multiple=True, metavar="FIELD:VALUE", help="only these, as in a timeseries; repeatable")
@click.option("--every-s", type=click.FloatRange(0.2, 60), default=1.0, show_default=True, help="how often to ask")
@click.option("--last-s", type=click.IntRange(0, 86_400), default=0, show_default=True,
              help="begin with the events of the last seconds")  # fmt: skip
@click.option("--once", is_flag=True, help="end after the first answer")
@JSON_OPTION
def tail(  # noqa: PLR0913 - the command's options
    connection: Connection, *, include: tuple[str, ...], every_s: float, last_s: int, once: bool, as_json: bool
) -> None:
    """Print events as they arrive, until interrupted. With --json, each is one line."""
    following = Tail(connection.query(), include)
    # Events that are stored already are printed only with --last-s.
    already_stored = list(following.new())
    if last_s:
        since_s = time.time() - last_s
        recent = already_stored if last_s <= LOOK_BACK_S else Tail(following.query, include).new(last_s)
        _print((event for event in recent if _time_of(event) >= since_s), as_json=as_json)
    # From here on a restart of the query service does not end the command.
    following.query = connection.query(patience_s=PATIENCE_S)
    with contextlib.suppress(KeyboardInterrupt):
        while not once:
            time.sleep(every_s)
            _print(following.new(), as_json=as_json)


def _print(events: Iterator[dict[str, object]], *, as_json: bool) -> None:
    for event in events:
        click.echo(json.dumps(event) if as_json else _line(event))


def _time_of(event: Mapping[str, object]) -> float:
    return float(str(event["timestamp"]))


def _line(event: Mapping[str, object]) -> str:
    stamp = time.strftime("%H:%M:%S", time.gmtime(_time_of(event)))
    response_us = event["response_us"]
    duration = f"{response_us / 1000:9.1f} ms" if isinstance(response_us, int) else f"{'-':>9}   "
    shown = f"{event['method']} {event['url']}  {event['consumer_id']}"
    return one_line(f"{stamp}  {event['status_code']}  {duration}  {shown}").rstrip()
