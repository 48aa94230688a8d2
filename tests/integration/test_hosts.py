"""The main job, end to end: one middleware line in a real app under a real server, and its timeseries."""

from __future__ import annotations

from collections import Counter

import pytest

from apimetry.cli.client import QUERY, Client
from tests.support.hosts.fixtures_hosts import start_host
from tests.support.oracles.load import send_concurrently
from tests.support.services.keys import ADMIN_KEY
from tests.support.services.processes import BOOTSTRAP, count_by, running, timeseries, total, wait_for_total

HOSTS = [
    "fastapi-uvicorn",
    "flask-gunicorn",
    "django-wsgi-gunicorn",
    "django-asgi-uvicorn",
    "starlette-hypercorn",
    "aiohttp",
]


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    with running("serve", data_dir=tmp_path_factory.mktemp("serve"), **BOOTSTRAP) as service:
        yield service


def requests_of(host, number):
    """A mix in which every tenth request is a POST, every 25th fails, and every 50th matches no route."""
    for i in range(number):
        if i % 50 == 49:
            yield "GET", "/missing", None
        elif i % 25 == 24:
            yield "GET", "/boom", None
        elif i % 10 == 9:
            yield "POST", "/v1/scores", b'{"score": 1}'
        else:
            yield "GET", f"/v1/scores/{i % 7}?token=secret-{host}", None


@pytest.fixture
def keys(serve, host):
    """The write and the read key of an application of the host's own."""
    call = Client(QUERY, serve.query_url, ADMIN_KEY).call_json
    call("POST", "/api/applications", {"id": host, "name": host})
    return {
        kind: call("POST", "/api/keys", {"kind": kind, "application": host})["secret"] for kind in ("write", "read")
    }


@pytest.mark.parametrize("host", HOSTS)
def test_every_request_of_50_concurrent_clients_is_counted_once(serve, host, keys):
    read = keys["read"]
    with start_host(host, collector_url=serve.collector_url, write_key=keys["write"]) as running_host:
        answered = send_concurrently(running_host.url, list(requests_of(host, 1000)), clients=50)
        wait_for_total(serve, serve.query_url, 1000, read)
    # What the host sent at its end would have come on top.
    assert total(serve.query_url, read) == 1000
    statuses = Counter()
    for (_, _, status), number in answered.items():
        statuses[str(status)] += number
    assert count_by(serve.query_url, "status_code", read) == statuses
    assert count_by(serve.query_url, "method", read) == {"GET": 920, "POST": 80}
    assert count_by(serve.query_url, "route", read) == {
        "/v1/scores/{identity}": 880,
        "/v1/scores": 80,
        "/boom": 20,
        "(unmatched)": 20,
    }
    urls = count_by(serve.query_url, "url", read)
    assert sum(urls.values()) == 1000
    assert not any("secret" in url for url in urls)
    assert len(count_by(serve.query_url, "function", read)) >= 3
    (shortest,) = timeseries(serve.query_url, read, aggregation="min").values()
    assert shortest[0][1] > 0
