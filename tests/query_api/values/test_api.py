"""`GET /v1/values` of the running service keeps its answers for a while."""

from __future__ import annotations

import pytest

from tests.support.oracles.query_events import Event, insert_events
from tests.support.services.query_service import running_query_service

NOW = 1_413_295_200.5


@pytest.fixture
async def clocked(embedded_store):
    """The running service, and its clock: a list with one time."""
    clock = [NOW]
    async with running_query_service(embedded_store, clock=lambda: clock[0]) as service:
        yield service, clock


def request_at(seconds, route):
    return Event(timestamp=int((NOW + seconds) * 1_000_000), route=route)


async def values(service, path="/v1/values?field=route", key="read"):
    return [value["value"] for value in (await service.answer(path, key))["values"]]


async def test_an_answer_is_at_most_30_s_old(clocked):
    service, clock = clocked
    insert_events(service.accounts.store, [request_at(-5, "/first")], token="1")
    assert await values(service) == ["/first"]
    insert_events(service.accounts.store, [request_at(-4, "/second")], token="2")
    assert await values(service) == ["/first"]
    assert await values(service, "/v1/values?field=route&search=s") == ["/first", "/second"]
    clock[0] = NOW + 31
    assert await values(service) == ["/first", "/second"]


async def test_an_answer_is_kept_for_its_application_alone(clocked):
    service, _ = clocked
    foreign = Event(application="theirs", timestamp=int(NOW - 5) * 1_000_000, route="/theirs")
    insert_events(service.accounts.store, [request_at(-5, "/ours"), foreign])
    assert await values(service) == ["/ours"]
    assert await values(service, key="their read") == ["/theirs"]
