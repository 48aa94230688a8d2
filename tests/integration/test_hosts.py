"""The main job, end to end: one middleware line in a real app under a real server, and its timeseries."""

import pytest

from tests.support.fixtures_hosts import start_host
from tests.support.load import send_concurrently
from tests.support.processes import (
    BOOTSTRAP,
    WRITE_KEY,
    count_by,
    running,
    timeseries,
)

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


@pytest.mark.parametrize("host", HOSTS)
def test_every_request_of_50_concurrent_clients_is_counted_once(serve, host):
    expected = 1000
    before = count_by(serve.query_url, "source").get(host, 0)
    assert before == 0
    with start_host(host, collector_url=serve.collector_url, write_key=WRITE_KEY, source=host) as running_host:
        statuses = send_concurrently(running_host.url, list(requests_of(host, expected)), clients=50)
        serve.wait_until(
            lambda: count_by(serve.query_url, "source").get(host, 0) >= expected,
            f"{expected} events of {host}",
        )
    only = {"include": f"source:{host}"}
    assert count_by(serve.query_url, "source")[host] == expected
    by_status = {}
    for (_, _, status), number in statuses.items():
        by_status[str(status)] = by_status.get(str(status), 0) + number
    assert count_by(serve.query_url, "status_code", **only) == by_status
    assert count_by(serve.query_url, "method", **only) == {"GET": 920, "POST": 80}
    assert count_by(serve.query_url, "route", **only) == {
        "/v1/scores/{identity}": 880,
        "/v1/scores": 80,
        "/boom": 20,
        "(unmatched)": 20,
    }
    urls = count_by(serve.query_url, "url", **only)
    assert sum(urls.values()) == expected
    assert not any("secret" in url for url in urls)
    (points,) = timeseries(serve.query_url, aggregation="min", **only).values()
    assert points[0][1] > 0
