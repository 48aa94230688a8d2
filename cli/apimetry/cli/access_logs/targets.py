"""The collector and the query service, as the importer needs them."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from http.client import HTTPException
from typing import Any

import click
import msgspec

from apimetry.cli.access_logs.events import HOUR_S, IMPORT_ID

REQUEST_TIMEOUT_S = 60
# Under the ten minutes for which the collector recognizes a batch that it has taken.
PATIENCE_S = 300.0
_LONGEST_PAUSE_S = 10.0
_FOR_EVER_S = 4_102_444_800
_METRIC = re.compile(
    r"^apimetry_collector_(received|recovered|stored|rejected|quarantined)_events_total(?:\{.*\})? (\S+)$"
)
_RETRIED = (408, 429, 500, 502, 503, 504)


class Endpoint:
    """A service at `url`, spoken to with `key`; what passes is tried again for PATIENCE_S."""

    def __init__(self, name: str, url: str, key: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.url = url.rstrip("/")
        self._name = name
        self._key = key
        self._sleep = sleep

    def call(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, Mapping[str, str]]:
        """Return the body and the headers of an answer.

        Raises:
            click.ClickException: it refused, or could not be reached for too long.
        """
        given = {"X-API-Key": self._key, **(headers or {})}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=given)  # noqa: S310 - http only
        began_s, pause_s = time.monotonic(), 0.5
        while True:
            try:
                with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:  # noqa: S310 - likewise
                    return response.read(), response.headers
            except urllib.error.HTTPError as error:
                with error:
                    reason, may_pass = _message_of(error), error.code in _RETRIED
                    wait_s = float(error.headers.get("Retry-After") or pause_s)
            except (OSError, HTTPException) as error:
                reason, may_pass, wait_s = str(getattr(error, "reason", error)), True, pause_s
            if not may_pass or time.monotonic() - began_s + wait_s > PATIENCE_S:
                raise click.ClickException(f"{self._name} at {self.url}: {reason}")
            self._sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


class Collector:
    """Where events go."""

    def __init__(self, endpoint: Endpoint, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._endpoint = endpoint
        self._sleep = sleep

    def send(self, events: Sequence[Mapping[str, object]], ids: Sequence[str]) -> dict[str, Any]:
        """Send a batch that is named by the lines in it: the same lines are the same batch, in every run."""
        batch_id = blake2b("".join(ids).encode(), digest_size=16).hexdigest()
        headers = {"Content-Type": "application/json", "X-Batch-Id": f"import-{batch_id}"}
        body, _ = self._endpoint.call("/1/event/", msgspec.json.encode(events), headers)
        answer: dict[str, Any] = json.loads(body)
        return answer

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
                raise click.ClickException(
                    f"the collector at {self._endpoint.url} holds events that its store does not take;"
                    " an import can be run again when it does: nothing is added twice"
                )
            self._sleep(0.2)

    def _counts(self) -> tuple[float, float]:
        text, _ = self._endpoint.call("/metrics")
        counts = dict.fromkeys(("received", "recovered", "stored", "rejected", "quarantined"), 0.0)
        for line in text.decode().splitlines():
            if match := _METRIC.match(line):
                counts[match[1]] += float(match[2])
        return counts["received"] + counts["recovered"], counts["stored"] + counts["rejected"] + counts["quarantined"]


class Stored:
    """What the query service has of one source."""

    def __init__(self, endpoint: Endpoint, source: str) -> None:
        self._endpoint = endpoint
        self._filter = urllib.parse.urlencode({"include": f"source:{source}"})

    def hours(self) -> set[int]:
        """Return the hours, counted from the epoch, in which there are events."""
        body, _ = self._endpoint.call(f"/1/timeseries/0/{_FOR_EVER_S}/?granularity=hour&{self._filter}")
        (points,) = json.loads(body)["groups"].values()
        return {time_s // HOUR_S for time_s, _ in points}

    def line_ids(self, hour: int) -> set[str]:
        """Return the ids of the lines that were imported before, of one hour."""
        span = f"start={hour * HOUR_S}&end={(hour + 1) * HOUR_S}"
        body, _ = self._endpoint.call(f"/v1/export/events?{span}&fields=data&{self._filter}")
        rows = (msgspec.json.decode(line)["data"] for line in body.splitlines())
        return {data[IMPORT_ID] for data in rows if IMPORT_ID in data}

    def retention_days(self) -> int:
        """Return for how long the application keeps its events."""
        _, headers = self._endpoint.call("/v1/export/events?start=0&end=1&fields=data")
        return int(headers["X-Apimetry-Retention-Days"])


def _message_of(error: urllib.error.HTTPError) -> str:
    try:
        answer = json.load(error)
        return f"{answer['error']}: {answer['message']}"
    except (ValueError, KeyError, TypeError):
        return f"it answered {error.code} {error.reason}"
