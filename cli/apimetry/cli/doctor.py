"""`apimetry doctor`: walks app → collector → spool → store → query, and says which hop fails and what to do.

It leaves nothing behind: the write key is tried with a batch without events.
"""

from __future__ import annotations

import email.utils
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import Any

import click

from apimetry.cli.access_logs.targets import Collector, Endpoint
from apimetry.cli.output import print_rows

TIMEOUT_S = 10
# Events further ahead than a day are refused; a minute is what makes "the last hour" wrong.
MAX_CLOCK_SKEW_S = 60
RECENT_S = 3600
_DRAIN_S = 15.0


@dataclass(frozen=True)
class Finding:
    """What was found at one hop; `advice` says what to do where `ok` is False."""

    hop: str
    ok: bool
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Answer:
    """An answer of a service; status 0 where there was none."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def message(self) -> str:
        """Return what an error says."""
        return str(self.body.get("message", self.body)) if isinstance(self.body, dict) else str(self.body)


def ask(url: str, key: str = "", body: bytes | None = None) -> Answer:
    """Return a service's answer, whatever it is."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"} if key else {}
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - http only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - likewise
            return Answer(response.status, response.headers, _content(response.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), _content(error.read()))
    except (OSError, HTTPException, ValueError) as error:
        return Answer(0, {}, str(getattr(error, "reason", error)))


def examine(
    collector_url: str, query_url: str, write_key: str, read_key: str, *, clock: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Yield what is found at each hop; what lies behind a hop that does not answer is left out."""
    health = ask(f"{collector_url}/health")
    yield _reachable("collector", collector_url, health, "APIMETRY_COLLECTOR_URL")
    if health.status == 200:
        yield _clock("collector", health, clock())
        yield _ready("spool", ask(f"{collector_url}/ready"))
        yield _key("write key", ask(f"{collector_url}/1/event/", write_key, b"[]"))
        yield _drains(collector_url)
    health = ask(f"{query_url}/health")
    yield _reachable("query", query_url, health, "APIMETRY_QUERY_URL")
    if health.status == 200:
        yield _clock("query", health, clock())
        yield _ready("store", ask(f"{query_url}/ready"))
        yield _app(query_url, read_key, int(clock()))


def _reachable(hop: str, url: str, health: Answer, variable: str) -> Finding:
    if health.status == 200:
        return Finding(hop, ok=True, found=f"{url} answers")
    found = f"{url}: {health.message}" if not health.status else f"{url} answers {health.status} to /health"
    return Finding(hop, ok=False, found=found, advice=f"start it, or give its address in {variable}")


def _clock(hop: str, health: Answer, now_s: float) -> Finding:
    sent = email.utils.parsedate_to_datetime(health.headers["Date"]).timestamp()
    skew_s = round(sent - now_s)
    if abs(skew_s) <= MAX_CLOCK_SKEW_S:
        return Finding(f"{hop} clock", ok=True, found=f"{skew_s:+d} s from this machine's")
    advice = "synchronize the clocks (NTP): events carry the time of their app's machine"
    return Finding(f"{hop} clock", ok=False, found=f"{skew_s:+d} s from this machine's", advice=advice)


def _ready(hop: str, ready: Answer) -> Finding:
    if ready.status == 200:
        return Finding(hop, ok=True, found="ready")
    reasons = "; ".join(ready.body.get("reasons", [])) if isinstance(ready.body, dict) else ready.message
    advice = {
        "spool": "free disk space, raise --spool-max-bytes, or bring the store back so that it drains",
        "store": "look at ClickHouse's log, and at APIMETRY_STORE of the query service",
    }[hop]
    return Finding(hop, ok=False, found=reasons, advice=advice)


def _key(hop: str, answer: Answer) -> Finding:
    if answer.status == 200:
        return Finding(hop, ok=True, found="accepted; nothing was stored")
    advice = {
        401: "the key is unknown or revoked: make one with `apimetry keys create`",
        403: "the key is of another kind: events take a write key, questions a read key",
    }.get(answer.status, "the collector's log has the reason")
    return Finding(hop, ok=False, found=answer.message, advice=advice)


def _drains(collector_url: str) -> Finding:
    try:
        Collector(Endpoint("no answer of the collector", collector_url, "")).wait_until_stored(_DRAIN_S)
    except click.ClickException as error:
        advice = "what is in the spool is safe; see whether ClickHouse takes inserts, and the collector's log"
        return Finding("spool to store", ok=False, found=error.message, advice=advice)
    return Finding("spool to store", ok=True, found="everything acknowledged is stored")


def _app(query_url: str, read_key: str, now_s: int) -> Finding:
    path = f"/1/timeseries/{now_s - RECENT_S}/{now_s + 60}/?completeness=1"
    answer = ask(f"{query_url}{path}", read_key)
    if answer.status != 200:
        return _key("read key", answer)
    (((_, count),),) = answer.body["groups"].values()
    if not count:
        advice = "send a request to your app; it needs the middleware's line, APIMETRY_COLLECTOR_URL and a write key"
        return Finding("app", ok=False, found="no request in the last hour", advice=advice)
    lost = answer.body["completeness"].get("lost") or {}
    if any(lost.values()):
        reasons = ", ".join(f"{reason} {number}" for reason, number in lost.items() if number)
        advice = "buffer_full: raise max_buffer_events, or see why the collector is slow"
        return Finding("app", ok=False, found=f"{count} requests in the last hour; lost: {reasons}", advice=advice)
    return Finding("app", ok=True, found=f"{count} requests in the last hour")


def _content(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")[:200]


@click.command()
@click.option("--url", envvar="APIMETRY_COLLECTOR_URL", default="http://127.0.0.1:7998", show_default=True,
              show_envvar=True, help="address of the collector")  # fmt: skip
@click.option("--query-url", envvar="APIMETRY_QUERY_URL", default="http://127.0.0.1:7778", show_default=True,
              show_envvar=True, help="address of the query service")  # fmt: skip
@click.option("--write-key", envvar="APIMETRY_WRITE_KEY", required=True, show_envvar=True, help="a write key")
@click.option("--read-key", envvar="APIMETRY_READ_KEY", required=True, show_envvar=True, help="a read key")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def doctor(url: str, *, query_url: str, write_key: str, read_key: str, as_json: bool) -> None:
    """Walk app, collector, spool, store and query; say which hop fails and what to do. Stores nothing."""
    findings = list(examine(url.rstrip("/"), query_url.rstrip("/"), write_key, read_key))
    print_rows([asdict(each) for each in findings], ("hop", "ok", "found", "advice"), as_json=as_json)
    if not all(each.ok for each in findings):
        raise click.exceptions.Exit(1)
