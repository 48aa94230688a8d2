"""The same requests in the format of every server give the same sums in the store."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from click.testing import CliRunner

from apimetry.cli.access_logs.command import import_
from tests.support.oracles.access_log_lines import (
    IIS_HEAD,
    WITH_DURATION,
    WITHOUT_DURATION,
    WITHOUT_SIZE,
    make_requests,
)
from tests.support.services.keys import READ_KEY, WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, count_by, running, timeseries

REQUESTS = make_requests(300, seed=7, start_s=int(time.time()) // 3600 * 3600 - 86_400)


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


@pytest.fixture
def imported(serve, tmp_path):
    """Import the requests in the format of a server, and return a function that queries them."""

    def run(name, options, render):
        log = tmp_path / "access.log"
        head = IIS_HEAD if name == "iis" else ""
        log.write_text(head + "".join(f"{render(request)}\n" for request in REQUESTS), encoding="utf-8")
        environment = {
            "APIMETRY_COLLECTOR_URL": serve.collector_url,
            "APIMETRY_QUERY_URL": serve.query_url,
            "APIMETRY_WRITE_KEY": WRITE_KEY,
            "APIMETRY_READ_KEY": READ_KEY,
        }
        arguments = ["access-log", str(log), "--source", name, *options]
        ran = CliRunner().invoke(import_, arguments, env=environment, catch_exceptions=False)
        assert ran.exit_code == 0, ran.output

        def only(**parameters):
            return timeseries(serve.query_url, include=f"source:{name}", **parameters)

        only.by = lambda field: count_by(serve.query_url, field, include=f"source:{name}")
        return only

    return run


def counted(key):
    return dict(Counter(map(key, REQUESTS)))


def route_of(request):
    return "(unmatched)" if request.status == 404 else f"/{request.path.split('/')[1]}/{{id}}"


def check_counts(only):
    assert only.by("status_code") == counted(lambda request: str(request.status))
    assert only.by("method") == counted(lambda request: request.method)
    assert only.by("route") == counted(route_of)
    assert only.by("url") == counted(
        lambda request: f"{request.path}?page=***&q=***" if request.query else request.path
    )
    (points,) = only(granularity="minute").values()
    assert dict(map(tuple, points)) == counted(lambda request: request.time_ms // 60_000 * 60)


def total(only, value):
    (points,) = only(aggregation="sum", value=value).values()
    return points[0][1]


@pytest.mark.parametrize("name", WITH_DURATION)
def test_a_format_with_durations_keeps_every_sum(imported, name):
    only = imported(name, *WITH_DURATION[name])
    check_counts(only)
    assert total(only, "response_us") == sum(request.duration_ms * 1000 for request in REQUESTS)
    assert total(only, "response_bytes") == sum(request.size for request in REQUESTS)


@pytest.mark.parametrize("name", WITHOUT_DURATION)
def test_a_format_without_durations_keeps_every_count_and_makes_no_duration(imported, name):
    only = imported(name, *WITHOUT_DURATION[name])
    check_counts(only)
    assert total(only, "response_bytes") == sum(request.size for request in REQUESTS)
    (points,) = only(aggregation="mean").values()
    assert points[0][1] is None


@pytest.mark.parametrize("name", WITHOUT_SIZE)
def test_a_format_without_sizes_keeps_every_count(imported, name):
    check_counts(imported(name, *WITHOUT_SIZE[name]))
