"""What only ASGI has: disconnects, background work, event streams, websockets, lifespan."""

from __future__ import annotations

import asyncio

import pytest

from apimetry.middleware.asgi import ASGIMiddleware

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
EVENT_STREAM = {**START, "headers": [(b"Content-Type", b"text/event-stream; charset=utf-8")]}


def part(body, more=False):
    return {"type": "http.response.body", "body": body, "more_body": more}


@pytest.fixture
def run(fake_collector):
    """Run an application under the middleware with what the client sends, and return what it was sent."""

    async def drive(app, *incoming, kind="http", send_error=None, expect=None, method="GET"):
        middleware = ASGIMiddleware(app, **fake_collector.options)
        waiting, sent = list(incoming), []

        async def receive():
            return waiting.pop(0)

        async def send(message):
            if send_error is not None and message["type"] == "http.response.body":
                raise send_error
            sent.append(message)

        scope = {"type": kind, "path": "/a", "query_string": b"", "headers": [(b"content-length", b"9")]}
        if kind == "http":
            scope["method"] = method
        if expect is None:
            await middleware(scope, receive, send)
        else:
            with pytest.raises(expect):
                await middleware(scope, receive, send)
        assert await asyncio.to_thread(middleware.flush, 10)
        return sent

    return drive


async def test_event_is_recorded_before_background_work_and_its_error_passes(run, fake_collector):
    async def app(scope, receive, send):
        await send(START)
        await send(part(b"done"))
        raise LookupError("in a background task")

    await run(app, expect=LookupError)
    (event,) = fake_collector.events
    assert (event["status_code"], event["error_type"], event["response_bytes"]) == (200, "", 4)


async def test_error_page_of_an_inner_handler_carries_the_exceptions_class(run, fake_collector):
    async def app(scope, receive, send):
        await send({**START, "status": 500})
        await send(part(b"sorry"))
        raise LookupError("the cause")

    await run(app, expect=LookupError)
    (event,) = fake_collector.events
    assert (event["status_code"], event["error_type"]) == (500, "LookupError")


async def test_client_that_left_before_the_last_part_is_a_499(run, fake_collector):
    async def app(scope, receive, send):
        await send(START)
        await send(part(b"some", more=True))
        assert (await receive())["type"] == "http.disconnect"

    await run(app, {"type": "http.disconnect"})
    (event,) = fake_collector.events
    assert (event["status_code"], event["response_bytes"], event["error_type"]) == (499, 4, "")


async def test_client_that_left_after_the_last_part_is_no_499(run, fake_collector):
    async def app(scope, receive, send):
        await send(START)
        await send(part(b"all"))
        await receive()

    await run(app, {"type": "http.disconnect"})
    assert [e["status_code"] for e in fake_collector.events] == [200]


@pytest.mark.parametrize("more", [True, False], ids=["part", "last part"])
async def test_send_that_fails_is_a_499(run, fake_collector, more):
    async def app(scope, receive, send):
        await send(START)
        await send(part(b"all", more))

    await run(app, send_error=OSError("gone"), expect=OSError)
    assert [e["status_code"] for e in fake_collector.events] == [499]


@pytest.mark.parametrize(("more", "status"), [(True, 499), (False, 200)], ids=["part", "last part"])
async def test_cancellation_is_a_499_only_before_the_last_part(run, fake_collector, more, status):
    async def app(scope, receive, send):
        await send(START)
        await send(part(b"all", more))

    await run(app, send_error=asyncio.CancelledError(), expect=asyncio.CancelledError)
    (event,) = fake_collector.events
    assert (event["status_code"], event["error_type"]) == (status, "")


async def test_client_that_leaves_while_the_last_part_is_sent_is_no_499(fake_collector):
    """Hypercorn on trio tells Starlette's listener so before `send` returns, and the listener cancels it."""
    middleware = ASGIMiddleware(answer_and_listen, **fake_collector.options)
    is_last_sent = asyncio.Event()

    async def receive():
        await is_last_sent.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message == part(b"all"):
            is_last_sent.set()
            await asyncio.Event().wait()

    await middleware({"type": "http", "method": "GET", "path": "/a", "headers": []}, receive, send)
    assert await asyncio.to_thread(middleware.flush, 10)
    assert [e["status_code"] for e in fake_collector.events] == [200]


async def answer_and_listen(scope, receive, send):
    """Stream as Starlette does: whichever of the answer and the client's leaving is first ends the other."""

    async def answer():
        await send(START)
        await send(part(b"all"))

    tasks = [asyncio.ensure_future(answer()), asyncio.ensure_future(receive())]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(tasks)


async def test_applications_own_oserror_is_a_500(run, fake_collector):
    async def app(scope, receive, send):
        raise ConnectionRefusedError("the database")

    await run(app, expect=ConnectionRefusedError)
    (event,) = fake_collector.events
    assert (event["status_code"], event["error_type"]) == (500, "ConnectionRefusedError")


async def test_application_that_answers_nothing_is_a_500(run, fake_collector):
    async def app(scope, receive, send):
        return

    await run(app)
    assert [e["status_code"] for e in fake_collector.events] == [500]


async def test_event_stream_keeps_its_status_and_its_latency_clean(run, fake_collector):
    async def app(scope, receive, send):
        await send(EVENT_STREAM)
        await send(part(b"data: 1\n\n", more=True))
        await receive()

    await run(app, {"type": "http.disconnect"})
    (event,) = fake_collector.events
    assert event["status_code"] == 200
    assert event["response_us"] == event["ttfb_us"] <= int(event["data"]["connection_us"])


async def test_body_without_content_length_is_counted_as_it_is_read(fake_collector, run):
    async def app(scope, receive, send):
        scope["headers"] = []
        while (await receive())["more_body"]:
            pass
        await send({**START, "status": 204})
        await send(part(b""))

    chunk = {"type": "http.request", "body": b"123", "more_body": True}
    await run(app, chunk, {**chunk, "more_body": False}, method="POST")
    assert [e["request_bytes"] for e in fake_collector.events] == [6]


async def test_websocket_is_one_event_with_its_connection_time_apart(run, fake_collector):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"] * 2})

    await run(
        app,
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "né"},
        {"type": "websocket.disconnect", "code": 1000},
        kind="websocket",
    )
    (event,) = fake_collector.events
    assert (event["status_code"], event["response_bytes"]) == (101, 6)
    assert event["response_us"] == event["ttfb_us"] <= int(event["data"]["connection_us"])


async def test_refused_websocket_is_a_403(run, fake_collector):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    await run(app, {"type": "websocket.connect"}, kind="websocket")
    assert [e["status_code"] for e in fake_collector.events] == [403]


async def test_websocket_that_raises_is_a_500_with_its_class(run, fake_collector):
    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        raise LookupError("the host's")

    await run(app, kind="websocket", expect=LookupError)
    (event,) = fake_collector.events
    assert (event["status_code"], event["error_type"]) == (500, "LookupError")


async def test_lifespan_passes_and_its_shutdown_delivers(fake_collector):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.shutdown"
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await send(START)
            await send(part(b""))

    middleware = ASGIMiddleware(app, flush_interval_s=3600, **fake_collector.options)
    sent = []

    async def receive():
        return {"type": "lifespan.shutdown"}

    async def send(message):
        sent.append((message["type"], len(fake_collector.events)))

    scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b"", "headers": []}
    await middleware(scope, receive, send)
    await middleware({"type": "lifespan"}, receive, send)
    assert sent[-1] == ("lifespan.shutdown.complete", 1)


async def test_collectors_own_endpoint_is_never_recorded(run, fake_collector):
    async def app(scope, receive, send):
        await send(START)
        await send(part(b""))

    middleware = ASGIMiddleware(app, **fake_collector.options)
    scope = {"type": "http", "method": "POST", "path": "/1/event/", "query_string": b"", "headers": []}

    async def send(message):
        pass

    await middleware(scope, None, send)
    assert middleware.recorder.counters()["captured"] == 0
