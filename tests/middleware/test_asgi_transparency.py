"""Around an ASGI application nothing changes: what passes through, passes unchanged, and is one event."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from apimetry.middleware.asgi import ASGIMiddleware
from tests.middleware.calling import HostError

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
SCOPE = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": []}
START = {"type": "http.response.start", "status": 200, "headers": []}


def part(body=b"", more=False):
    return {"type": "http.response.body", "body": body, "more_body": more}


async def drive(app, *incoming, scope=SCOPE):
    """Call an ASGI application and return the very messages it sent."""
    waiting, sent = list(incoming), []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    await app(dict(scope), receive, send)
    return sent


async def test_messages_pass_as_the_same_objects_both_ways(apimetry):
    request = {"type": "http.request", "body": b"abc", "more_body": False}
    messages = [
        {**START, "status": 103},  # an early hint, as some servers take it
        {**START, "trailers": True},
        part(b"abc"),
        {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": False},
    ]
    received = []

    async def app(scope, receive, send):
        received.append(await receive())
        for message in messages:
            await send(message)

    sent = await drive(ASGIMiddleware(app), request)
    assert all(a is b for a, b in zip(sent, messages, strict=True))
    assert received[0] is request
    assert [(e.status_code, e.request_bytes, e.response_bytes) for e in apimetry] == [(200, 3, 3)]


async def test_early_hints_server_push_and_debug_messages_are_no_answer(apimetry):
    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": []})
        await send({"type": "http.response.push", "path": "/style.css", "headers": []})
        await send({"type": "http.response.debug", "info": {}})
        await send({**START, "status": 201})
        await send(part(b"abc"))

    assert len(await drive(ASGIMiddleware(app))) == 5
    assert [(e.status_code, e.response_bytes) for e in apimetry] == [(201, 3)]


async def test_parts_reach_the_server_before_the_next_is_made(apimetry):
    part_numbers, messages = [], []

    async def app(scope, receive, send):
        await send(START)
        for number in range(5):
            part_numbers.append(number)
            await send(part(b"x" * 1000, more=True))
            assert len(messages) == number + 2
        await send(part())

    async def send(message):
        messages.append(message)

    await ASGIMiddleware(app)(dict(SCOPE), None, send)
    assert (part_numbers, [e.response_bytes for e in apimetry]) == ([0, 1, 2, 3, 4], [5000])


async def test_request_body_is_read_no_faster_than_the_application_reads(apimetry):
    pulled = []

    async def receive():
        pulled.append(1)
        return {"type": "http.request", "body": b"1234", "more_body": True}

    async def app(scope, receive, send):
        await receive()
        assert len(pulled) == 1
        await receive()
        await send(START)
        await send(part())

    async def send(message):
        pass

    await ASGIMiddleware(app)({**SCOPE, "method": "POST"}, receive, send)
    assert (len(pulled), [e.request_bytes for e in apimetry]) == (2, [8])


async def test_context_variables_are_visible_inside_and_outside(apimetry):
    async def app(scope, receive, send):
        assert variable.get() == "outer"
        variable.set("inner")
        await send(START)
        await send(part())

    variable.set("outer")
    await drive(ASGIMiddleware(app))
    assert variable.get() == "inner"


async def test_cancellation_reaches_the_application_and_is_a_499(apimetry):
    inside, cleaned = asyncio.Event(), []

    async def app(scope, receive, send):
        try:
            inside.set()
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    task = asyncio.create_task(drive(ASGIMiddleware(app)))
    await inside.wait()
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("enough",)
    assert (cleaned, [e.status_code for e in apimetry]) == ([True], [499])


@pytest.mark.parametrize("messages", [[], [START], [START, part(b"x", more=True)]], ids=["none", "headers", "part"])
async def test_exception_passes_as_the_same_object_and_is_a_500(messages, apimetry):
    error = HostError("the host's")

    async def app(scope, receive, send):
        for message in messages:
            await send(message)
        raise error

    with pytest.raises(HostError) as caught:
        await drive(ASGIMiddleware(app))
    assert caught.value is error
    assert [(e.status_code, e.error_type) for e in apimetry] == [(500, "HostError")]


async def test_background_work_is_no_part_of_the_duration(apimetry):
    events_at_work = []

    async def app(scope, receive, send):
        await send(START)
        await send(part(b"done"))
        events_at_work.extend(apimetry)

    await drive(ASGIMiddleware(app))
    assert len(apimetry) == 1
    assert events_at_work == list(apimetry)


async def test_other_scope_types_and_unknown_ones_pass_untouched(apimetry):
    scopes = []

    async def app(scope, receive, send):
        scopes.append((scope["type"], receive, send))

    async def receive():
        return {}

    async def send(message):
        pass

    await ASGIMiddleware(app)({"type": "telepathy"}, receive, send)
    assert scopes == [("telepathy", receive, send)]
    assert len(apimetry) == 0


async def test_scope_is_the_servers_own_and_gains_nothing(apimetry):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        await send(START)
        await send(part())

    scope = dict(SCOPE)

    async def send(message):
        pass

    await ASGIMiddleware(app)(scope, None, send)
    assert scopes[0] is scope
    assert scope == SCOPE


@pytest.mark.parametrize("spread", [1, 5])
async def test_concurrent_requests_are_as_many_events_of_their_own(spread, apimetry):
    async def app(scope, receive, send):
        number = int(scope["path"][1:])
        await asyncio.sleep(0)
        await send({**START, "status": 200 + number})
        for _ in range(spread):
            await asyncio.sleep(0)
            await send(part(b"x" * number, more=True))
        await send(part())

    middleware = ASGIMiddleware(app)
    await asyncio.gather(*(drive(middleware, scope={**SCOPE, "path": f"/{n}"}) for n in range(50)))
    recorded = sorted((int(e.url[1:]), e.status_code - 200, e.response_bytes) for e in apimetry)
    assert recorded == [(n, n, n * spread) for n in range(50)]
