"""The collector and the query service, as the importer needs them."""

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

_FOR_EVER_S = 4_102_444_800
_MAX_ROUTES = 10_000
BAD_REQUEST = 400
_METRIC = re.compile(
    r"^apimetry_collector_(received|recovered|stored|rejected|quarantined)_events_total(?:\{.*\})? (\S+)$"
)


class NotStored(click.ClickException):
    """The store does not take what the collector has acknowledged."""


class Collector:
    """Where events go."""

    def __init__(self, client: Client, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._sleep = sleep

    def send(self, events: Sequence[Mapping[str, object]], ids: Sequence[str], repeat: int = 0) -> dict[str, Any]:
        """Send a batch that is named by its source and lines: the same lines are the same batch, in every run.

        Args:
            events: all of one source.
            ids: those of their lines.
            repeat: how often these lines were sent before and are not stored. The collector takes a batch that it
                knows for a retry, and answers `duplicate`: events that were deleted since need another name.
        """
        named = "\0".join((str(events[0]["source"]), str(repeat), *ids))
        batch_id = blake2b(named.encode("utf-8", "replace"), digest_size=16).hexdigest()
        headers, body = {"X-Batch-Id": f"import-{batch_id}"}, msgspec.json.encode(events)
        try:
            return self._client.call_json("POST", "/1/event/", body, headers)
        except click.ClickException:
            # A batch of which every event is invalid is refused as a whole, and says why for each.
            refusal = self._client.request("/1/event/", body, headers)
            details = refusal.content.get("details") if isinstance(refusal.content, dict) else None
            if refusal.status != BAD_REQUEST or not isinstance(details, list):
                raise
            return {"accepted": 0, "rejected": len(events), "details": details}

    def wait_until_stored(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until everything that the collector has acknowledged by now can be queried.

        Its counters say so: batches are stored in their order.
        """
        taken, _ = self._counts()
        began_s = time.monotonic()
        while True:
            now_taken, done = self._counts()
            # Fewer than before: it was started anew, and counts from what its spool held.
            taken = min(taken, now_taken)
            if done >= taken:
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
    """What the query service has of one source."""

    def __init__(self, client: Client, source: str) -> None:
        self._client = client
        self._filter = urllib.parse.urlencode({"include": f"source:{source}"})

    def hours(self) -> set[int]:
        """Return the hours, counted from the epoch, in which there are events."""
        answer = self._client.call_json("GET", f"/1/timeseries/0/{_FOR_EVER_S}/?granularity=hour&{self._filter}")
        (points,) = answer["groups"].values()
        return {time_s // HOUR_S for time_s, _ in points}

    def line_ids(self, hour: int) -> set[str]:
        """Return the ids of the lines that were imported before, of one hour."""
        span = f"start={hour * HOUR_S}&end={(hour + 1) * HOUR_S}"
        body, _ = self._client.call(f"/v1/export/events?{span}&fields=data&{self._filter}")
        rows = (msgspec.json.decode(line)["data"] for line in body.splitlines())
        return {data[IMPORT_ID] for data in rows if IMPORT_ID in data}

    def routes(self) -> set[str]:
        """Return the routes that have events, of any source."""
        answer = self._client.call_json("GET", f"/1/timeseries/0/{_FOR_EVER_S}/?group=route&limit={_MAX_ROUTES}")
        return set(answer["groups"])

    def retention_days(self) -> int:
        """Return for how long the application keeps its events."""
        _, headers = self._client.call("/v1/export/events?start=0&end=1&fields=data")
        days = headers.get("X-Apimetry-Retention-Days") or ""
        if not days.isdecimal():
            raise click.ClickException(self._client.foreign_message())
        return int(days)
