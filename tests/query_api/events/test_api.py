"""`GET /v1/events` and `GET /v1/events/{id}` over HTTP."""

from __future__ import annotations

import pytest

from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.query_service import assert_error, running_query_service

START = 1_413_295_200
NASTY = "a\"b'c\\d/," + "".join(map(chr, range(32))) + "\x7f\u2028ü😀</script>{x:Int}"
EVENT = Event(
    timestamp=START * 1_000_000 + 123_456,
    url=NASTY,
    consumer_id=NASTY,
    response_us=None,
    request_bytes=2**53,
    data={NASTY: NASTY, "": ""},
    sample_weight=7,
    status_code=599,
)
PATH = f"/v1/events?start={START}&end={START + 10}"


async def test_an_event_is_answered_with_all_its_fields_and_by_its_id(service):
    insert_events(service.accounts.store, [EVENT, Event("theirs", EVENT.timestamp)])
    page = await service.answer(PATH)
    (event,) = page.pop("events")
    assert page == {"next": None, "searched": {"start": START, "end": START + 10}, "complete": True}
    event_id = event["id"]
    assert event == {
        "id": event_id,
        "timestamp": 1_413_295_200.123456,
        "method": "GET",
        "url": NASTY,
        "route": "/",
        "function": "unknown",
        "status_code": 599,
        "response_us": None,
        "ttfb_us": None,
        "request_bytes": 2**53,
        "response_bytes": None,
        "consumer_id": NASTY,
        "error_type": "",
        "source": "",
        "version": "",
        "user_agent": "",
        "client_ip": "",
        "sample_weight": 7,
        "data": {NASTY: NASTY, "": ""},
    }
    assert await service.answer(f"/v1/events/{event_id}") == event
    assert await service.answer(f"/v1/events/{event_id}?fields=status_code") == {"id": event_id, "status_code": 599}
    await assert_error(await service.get(f"/v1/events/{event_id}", "their read"), 404, "There is no event", event_id)


async def test_fields_and_filters_narrow_a_page(service):
    insert_events(service.accounts.store, [EVENT, Event(timestamp=EVENT.timestamp + 1)])
    page = await service.answer(f"{PATH}&fields=status_code,timestamp&include=status_code:599")
    assert [list(event) for event in page["events"]] == [["id", "status_code", "timestamp"]]


async def test_trace_id_narrows_a_page_to_the_events_of_a_trace(service):
    trace = "0af7651916cd43dd8448eb211c80319c"
    traced = {"trace_id": trace, "span_id": "b7ad6b7169203331"}
    at = EVENT.timestamp
    others = [Event(timestamp=at + n, data={"trace_id": f"{n:032x}"} if n % 2 else {}) for n in range(1, 20)]
    insert_events(
        service.accounts.store, [Event(timestamp=at, data=traced), *others, Event("theirs", at, data=traced)]
    )
    page = await service.answer(f"{PATH}&trace_id={trace.upper()}")
    assert [event["data"] for event in page["events"]] == [traced]
    assert (page["next"], page["complete"]) == (None, True)
    assert (await service.answer(f"{PATH}&trace_id={trace}&include=status_code:599"))["events"] == []


async def test_pages_follow_each_other_by_their_cursor(service):
    events = [event for event in random_events(3, 90, START, START + 10) if event.application == "shop"]
    insert_events(service.accounts.store, events)
    shown, cursor = [], ""
    while cursor is not None:
        page = await service.answer(f"{PATH}&order=asc&limit=20&fields=timestamp&cursor={cursor}")
        shown += page["events"]
        cursor = page["next"]
    assert [event["timestamp"] for event in shown] == sorted(event.timestamp / 1_000_000 for event in events)


async def test_without_a_range_it_is_the_last_24_hours_and_later_pages_keep_them(embedded_store):
    now = [START + 86_400]
    async with running_query_service(embedded_store, clock=lambda: now[0]) as service:
        insert_events(embedded_store, [Event(timestamp=(START + offset) * 1_000_000) for offset in (-1, 0, 5, 9)])
        first = await service.answer("/v1/events?limit=1")
        # The clock goes on while somebody reads, and the first event is still of the search.
        now[0] += 3
        rest = await service.answer(f"/v1/events?cursor={first['next']}")
    assert [event["timestamp"] - START for event in first["events"] + rest["events"]] == [9, 5, 0]


@pytest.mark.parametrize("event_id", ["nobody", "AAYiD3PzEqEAfIEIBoA0ZwAAAAA", "A" * 500, "%C3%BC"])
async def test_an_id_that_no_event_has_is_a_404(embedded_service, event_id):
    await assert_error(await embedded_service.get(f"/v1/events/{event_id}"), 404, "There is no event")


async def test_a_bad_cursor_is_a_400(embedded_service):
    await assert_error(await embedded_service.get("/v1/events?cursor=x"), 400, "cursor is 'x'")
