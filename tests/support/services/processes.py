"""`apimetry` services as real processes, started on free ports and ended by process id."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.support.services.keys import ADMIN_KEY, READ_KEY, WRITE_KEY

APIMETRY = Path(sys.executable).with_name("apimetry")
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20

APPLICATION = "shop"
BOOTSTRAP = {
    "APIMETRY_BOOTSTRAP_APPLICATION": APPLICATION,
    "APIMETRY_BOOTSTRAP_ADMIN_KEY": ADMIN_KEY,
    "APIMETRY_BOOTSTRAP_WRITE_KEY": WRITE_KEY,
    "APIMETRY_BOOTSTRAP_READ_KEY": READ_KEY,
}


class Service:
    """A running `apimetry` command; `output` is what it has printed so far."""

    def __init__(self, command, data_dir, settings):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("APIMETRY_")}
        environment |= {
            "APIMETRY_DATA_DIR": str(data_dir),
            "APIMETRY_COLLECTOR_PORT": "0",
            "APIMETRY_QUERY_PORT": "0",
            **settings,
        }
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [str(APIMETRY), *command],
            env=environment,
            cwd=data_dir,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def output(self):
        self._log.seek(0)
        return self._log.read()

    def wait_until(self, condition, what):
        """Wait until `condition()` is true while the process lives."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (result := condition()):
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"no {what} in {START_TIMEOUT_S} s:\n{self.output}"
            time.sleep(0.02)
        return result

    def _address(self, service):
        match = re.search(rf"^  {service} +(http://[^/\s]+)/", self.output, re.MULTILINE)
        return match and match[1]

    @property
    def collector_url(self):
        return self.wait_until(lambda: self._address("collector"), "collector address")

    @property
    def query_url(self):
        return self.wait_until(lambda: self._address("query service"), "query service address")

    def stop(self, number=signal.SIGTERM):
        """End the process and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


@contextmanager
def running(*command, data_dir, **settings):
    """Run `apimetry COMMAND` until the block ends; settings are environment variables."""
    service = Service(command, data_dir, settings)
    try:
        yield service
        if service.process.poll() is None:
            assert service.stop() == 0, service.output
    except BaseException:
        print(service.output)
        raise
    finally:
        service.close()


def get_json(url, key=READ_KEY):
    request = urllib.request.Request(url, headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def post_json(url, body, key):
    """Post a body to the query service and return its answer."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def timeseries(query_url, key=READ_KEY, start=0, end=4102444800, **parameters):
    """Return the groups of a timeseries answer, over all time unless told otherwise."""
    query = urllib.parse.urlencode(parameters, doseq=True)
    return get_json(f"{query_url}/1/timeseries/{start}/{end}/?{query}", key)["groups"]


def count_by(query_url, field, key=READ_KEY, **parameters):
    """Return the number of events by the values of a field."""
    groups = timeseries(query_url, key, group=field, **parameters)
    return {value: points[0][1] for value, points in groups.items()}


def total(query_url, key=READ_KEY, **parameters):
    """Return the number of events."""
    (points,) = timeseries(query_url, key, **parameters).values()
    return points[0][1]


def wait_for_total(service, query_url, expected, key=READ_KEY):
    """Wait until all `expected` events are queryable; more than that fails at once."""
    count = 0

    def arrived():
        nonlocal count
        count = total(query_url, key)
        assert count <= expected, f"{count} events for {expected} requests"
        return count == expected

    service.wait_until(arrived, f"{expected} events (there are {count})")


def post_events(collector_url, events, key=WRITE_KEY, **headers):
    """Post events as JSON and return the status and the answer."""
    request = urllib.request.Request(
        f"{collector_url}/1/event/",
        data=json.dumps(events).encode(),
        headers={"Content-Type": "application/json", "X-API-Key": key, **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
