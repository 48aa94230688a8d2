"""`apimetry doctor`: check app → collector → spool → store → query, and say which hop fails and what to do.

The command stores nothing: it tries the write key with a batch without events. It sends a key only to a service that
has identified itself as apimetry's.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from apimetry.cli.client import COLLECTOR, QUERY, Client, Response, advice_on_address, identity_of
from apimetry.cli.connection import JSON_OPTION, Connection, with_connection
from apimetry.cli.output import one_line, print_json, say

TIMEOUT_S = 10.0
# The collector refuses events more than a day ahead. A minute already makes "the last hour" wrong.
MAX_CLOCK_SKEW_S = 60
RECENT_S = 3600
_DRAIN_S = 15.0


@dataclass(frozen=True)
class Finding:
    """The result of one hop; `advice` says what to do where `ok` is False."""

    hop: str
    ok: bool
    found: str
    advice: str = ""


def examine(connection: Connection, *, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Yield the finding of every hop; hops behind a service that does not answer are left out."""
    collector, finding = _service(connection, COLLECTOR)
    yield finding
    if collector is not None:
        yield _clock("collector", collector.request("/health"), clock())
        yield _ready("spool", collector.request("/ready"))
        yield _write_key(connection, collector)
        yield _drains(collector)
    query, finding = _service(connection, QUERY)
    yield finding
    if query is not None:
        yield _clock("query", query.request("/health"), clock())
        yield _ready("store", query.request("/ready"))
        yield from _query_findings(connection, query, collector, int(clock()))


def _service(connection: Connection, service: str) -> tuple[Client | None, Finding]:
    """Return a client without a key, None where the service does not answer, and the finding of the service."""
    hop = "collector" if service == COLLECTOR else "query"
    try:
        client = Client(service, connection.url(f"{hop}_url"), timeout_s=TIMEOUT_S)
    except click.UsageError as error:
        return None, Finding(hop, ok=False, found=error.message, advice=advice_on_address(service))
    health = client.request("/health")
    identity = identity_of(health)
    if identity == service:
        return client, Finding(hop, ok=True, found=f"{client.url} answers")
    if not health.status:
        advice = f"start it, or {advice_on_address(service)}"
        return None, Finding(hop, ok=False, found=f"{client.url}: {health.message}", advice=advice)
    problem = (
        f"is the {identity}, not the {service}" if identity else f"is not apimetry's {service}: {_foreign(health)}"
    )
    return None, Finding(hop, ok=False, found=f"{client.url} {problem}", advice=advice_on_address(service))


def _foreign(health: Response) -> str:
    return "something else answers" if health.status == 200 else health.message


def _clock(hop: str, health: Response, now_s: float) -> Finding:
    try:
        sent_s = email.utils.parsedate_to_datetime(health.headers.get("Date") or "").timestamp()
    except ValueError:
        return Finding(f"{hop} clock", ok=True, found="unknown: the answer carries no date")
    skew_s = round(sent_s - now_s)
    # The header counts whole seconds, so a difference of one second says nothing.
    finding = "as this machine's" if abs(skew_s) <= 1 else f"{skew_s:+d} s from this machine's"
    if abs(skew_s) <= MAX_CLOCK_SKEW_S:
        return Finding(f"{hop} clock", ok=True, found=finding)
    advice = "synchronize the clocks (NTP): events carry the time of their app's machine"
    return Finding(f"{hop} clock", ok=False, found=finding, advice=advice)


def _ready(hop: str, ready: Response) -> Finding:
    if ready.status == 200:
        return Finding(hop, ok=True, found="ready")
    content = ready.content
    reasons = content.get("reasons") if isinstance(content, dict) else None
    advice = {
        "spool": "free disk space, raise --spool-max-bytes, or bring the store back so that it drains",
        "store": "look at ClickHouse's log, and at APIMETRY_STORE of the query service",
    }[hop]
    finding = "; ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else ready.message
    return Finding(hop, ok=False, found=finding, advice=advice)


def _write_key(connection: Connection, collector: Client) -> Finding:
    try:
        key = connection.key("write_key")
    except click.ClickException as error:
        return Finding("write key", ok=False, found="none", advice=error.message)
    response = collector.request("/1/event/", b"[]", {"X-API-Key": key})
    if response.status != 200:
        return _refused("write key", response)
    return Finding("write key", ok=True, found="accepted; nothing was stored")


def _refused(hop: str, response: Response) -> Finding:
    advice = {
        400: "give a key of one application: a write key for events, a read key for questions",
        401: "the key is unknown or revoked: make one with `apimetry keys create`",
        403: "the key is of another kind: events take a write key, questions a read key",
        429: "the key sends more than its limit, or the plan's calls are used up: see --events-per-s-per-key",
        503: "it says so itself: see the other hops",
    }.get(response.status, "the service's log has the reason")
    is_about_key = response.status in (400, 401, 403, 429)
    finding = response.message if is_about_key else f"not known: {response.message}"
    return Finding(hop, ok=False, found=finding, advice=advice)


def _drains(client: Client) -> Finding:
    from apimetry.cli.access_logs.targets import Collector, NotStored

    advice = "what is in the spool is safe; see whether ClickHouse takes inserts, and the collector's log"
    try:
        Collector(client).wait_until_stored(_DRAIN_S)
    except NotStored:
        finding = f"the store has not taken what waits in the spool for {_DRAIN_S:.0f} s"
        return Finding("spool to store", ok=False, found=finding, advice=advice)
    except click.ClickException as error:
        return Finding("spool to store", ok=False, found=error.message, advice=advice)
    return Finding("spool to store", ok=True, found="everything acknowledged is stored")


def _query_findings(connection: Connection, query: Client, collector: Client | None, now_s: int) -> Iterator[Finding]:
    try:
        key = connection.key("read_key")
    except click.ClickException as error:
        yield Finding("read key", ok=False, found="none", advice=error.message)
        return
    path = f"/1/timeseries/{now_s - RECENT_S}/{now_s + 60}/?completeness=1"
    response = query.request(path, headers={"X-API-Key": key})
    if response.status != 200:
        yield _refused("read key" if response.status in (400, 401, 403) else "app", response)
        return
    try:
        (application,) = response.content["groups"]
        app = _app(response.content)
    except (AttributeError, KeyError, TypeError, ValueError):
        advice = "are query service and command of one version?"
        yield Finding("app", ok=False, found="an answer in another form than expected", advice=advice)
        return
    if collector is not None and _has_another_application(connection, collector, application):
        finding = f"it is for {application!r}, and the write key is for another application"
        yield Finding("read key", ok=False, found=finding, advice="use a write and a read key of one application")
    yield app


def _has_another_application(connection: Connection, collector: Client, application: str) -> bool:
    """Return whether a valid write key is refused once the request names the application of the read key."""
    try:
        key = connection.key("write_key")
    except click.ClickException:
        return False
    alone = collector.request("/1/event/", b"[]", {"X-API-Key": key})
    named = collector.request("/1/event/", b"[]", {"X-Auth-Key": key, "X-Auth-User": application})
    return alone.status == 200 and named.status == 401


def _app(timeseries: dict[str, Any]) -> Finding:
    (((_, count),),) = timeseries["groups"].values()
    if not count:
        advice = "send a request to your app; it needs the middleware's line, APIMETRY_COLLECTOR_URL and a write key"
        return Finding("app", ok=False, found="no request in the last hour", advice=advice)
    lost = timeseries["completeness"].get("lost") or {}
    if any(lost.values()):
        reasons = ", ".join(f"{reason} {number}" for reason, number in lost.items() if number)
        advice = "buffer_full: raise max_buffer_events, or see why the collector is slow"
        return Finding("app", ok=False, found=f"{count} requests in the last hour; lost: {reasons}", advice=advice)
    return Finding("app", ok=True, found=f"{count} requests in the last hour")


@click.command()
@with_connection("collector_url", "query_url", "write_key", "read_key")
@JSON_OPTION
def doctor(connection: Connection, *, as_json: bool) -> None:
    """Walk app, collector, spool, store and query; say which hop fails and what to do. Stores nothing."""
    findings = []
    for finding in examine(connection):
        findings.append(finding)
        if not as_json:
            say(_line(finding))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


def _line(finding: Finding) -> str:
    """Return the lines of one finding for people."""
    line = f"{'ok  ' if finding.ok else 'FAIL'}  {finding.hop:<15}  {one_line(finding.found)}"
    return f"{line}\n{'':23}→ {one_line(finding.advice)}" if finding.advice else line
