"""The requests that the importer sends to the collector and to the query service."""

from __future__ import annotations

import re
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import click
import msgspec

from apimetry.cli.access_logs.events import HOUR_S, IMPORT_ID
from apimetry.cli.client import PATIENCE_S, Client

_END_OF_TIME_S = 4_102_444_800
_MAX_ROUTES = 10_000
BAD_REQUEST = 400
_METRIC = re.compile(
    r"^apimetry_collector_(received|recovered|stored|rejected|quarantined)_events_total(?:\{.*\})? (\S+)$"
)


class NotStored(click.ClickException):
    """The store does not accept the events that the collector has acknowledged."""


class Collector:
    """Send events to a collector, and wait until they are stored."""

    def __init__(self, client: Client, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._sleep = sleep

    def send(self, events: Sequence[Mapping[str, object]], ids: Sequence[str], repeat: int = 0) -> dict[str, Any]:
        """Send a batch, and return the collector's result.

        The batch id is made from the source and the lines, so it is the same in every run.

        Args:
            events: events of one source.
            ids: the ids of their lines.
            repeat: how often these lines were sent before and deleted since. The collector answers `duplicate` to a
                batch id that it knows, so events that were deleted need a new batch id.
        """
        name = "\0".join((str(events[0]["source"]), str(repeat), *ids))
        batch_id = blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest()
        headers, body = {"X-Batch-Id": f"import-{batch_id}"}, msgspec.json.encode(events)
        try:
            return self._client.call_json("POST", "/1/event/", body, headers)
        except click.ClickException:
            # The collector refuses a batch without a valid event as a whole, and its response has all reasons.
            refusal = self._client.request("/1/event/", body, headers)
            details = refusal.content.get("details") if isinstance(refusal.content, dict) else None
            if refusal.status != BAD_REQUEST or not isinstance(details, list):
                raise
            return {"accepted": 0, "rejected": len(events), "details": details}

    def wait_until_stored(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until every event that the collector has acknowledged so far can be queried.

        The collector's counters show it, because batches are stored in their order.
        """
        acknowledged, _ = self._counts()
        began_s = time.monotonic()
        while True:
            acknowledged_now, finished = self._counts()
            # A smaller count means that the collector was restarted: it counts from the events in its spool.
            acknowledged = min(acknowledged, acknowledged_now)
            if finished >= acknowledged:
                return
            if time.monotonic() - began_s > patience_s:
                raise NotStored(
                    f"the collector at {self._client.url} holds events that its store does not take;"
                    " an import can be run again when it does: nothing is added twice"
                )
            self._sleep(0.2)

    def _counts(self) -> tuple[float, float]:
        text, _ = self._client.call("/metrics")
        counts = dict.fromkeys(("received", "recovered", "stored", "rejected", "quarantined"), 0.0)
        for line in text.decode().splitlines():
            if match := _METRIC.match(line):
                counts[match[1]] += float(match[2])
        return counts["received"] + counts["recovered"], counts["stored"] + counts["rejected"] + counts["quarantined"]


class Stored:
    """Query the stored events of one source."""

    def __init__(self, client: Client, source: str) -> None:
        self._client = client
        self._filter = urllib.parse.urlencode({"include": f"source:{source}"})

    def hours(self) -> set[int]:
        """Return the hours since the epoch that have events."""
        response = self._client.call_json("GET", f"/1/timeseries/0/{_END_OF_TIME_S}/?granularity=hour&{self._filter}")
        (points,) = response["groups"].values()
        return {time_s // HOUR_S for time_s, _ in points}

    def line_ids(self, hour: int) -> set[str]:
        """Return the ids of the imported lines of one hour."""
        span = f"start={hour * HOUR_S}&end={(hour + 1) * HOUR_S}"
        body, _ = self._client.call(f"/v1/export/events?{span}&fields=data&{self._filter}")
        rows = (msgspec.json.decode(line)["data"] for line in body.splitlines())
        return {data[IMPORT_ID] for data in rows if IMPORT_ID in data}

    def routes(self) -> set[str]:
        """Return the routes that have events of any source."""
        response = self._client.call_json("GET", f"/1/timeseries/0/{_END_OF_TIME_S}/?group=route&limit={_MAX_ROUTES}")
        return set(response["groups"])

    def retention_days(self) -> int:
        """Return how many days the application keeps its events."""
        _, headers = self._client.call("/v1/export/events?start=0&end=1&fields=data")
        days = headers.get("X-Apimetry-Retention-Days") or ""
        if not days.isdecimal():
            raise click.ClickException(self._client.foreign_message())
        return int(days)
