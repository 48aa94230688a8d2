"""Over raw sockets: which bytes of a client reach the application, and when a connection is cut."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from apimetry.serving.connection import MAX_HEAD_BYTES, MAX_HEADERS
from apimetry.serving.expectations import invite
from tests.support.services.front_door import ListeningServer, connection_to, everything, exchange, read_answer

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
GET = HEAD + b"\r\n"


def post(body, *headers):
    lines = [b"POST / HTTP/1.1", b"Host: x", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture
async def door():
    """A function that starts a server; the server responds with the size of the body. Options are the listener's."""
    servers = []

    async def read(request):
        invite(request)
        return web.json_response({"read": len(await request.read())})

    async def unread(_):
        return web.json_response({"read": None}, status=401)

    async def large(_):
        return web.json_response("x" * 4_000_000)

    async def serve(**options):
        app = web.Application(client_max_size=10**9)
        app.router.add_route("*", "/", read)
        app.router.add_route("*", "/unread", unread)
        app.router.add_get("/large", large)
        servers.append(ListeningServer(app, **options))
        await servers[-1].start_server()
        return servers[-1]

    yield serve
    for server in servers:
        await server.close()


async def is_cut(reader):
    """Wait until the connection ends, and return whether no byte came before; the test's timeout bounds the wait."""
    return await everything(reader) == b""


async def test_later_head_has_the_deadline_of_the_first(door):
    server = await door(head_timeout_s=0.2)
    async with connection_to(server) as (reader, writer):
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        writer.write(b"GET / HTT")
        assert await is_cut(reader)


async def test_later_head_that_trickles_is_cut(door):
    server = await door(head_timeout_s=0.2)
    async with connection_to(server) as (reader, writer):
        writer.write(post(b"body"))
        assert (await read_answer(reader))[2] == {"read": 4}
        ended = asyncio.ensure_future(is_cut(reader))
        writer.write(HEAD + b"X: ")
        while not ended.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)  # the pace of a slow client
        assert ended.result()


@pytest.mark.parametrize(
    "first",
    [
        GET,
        post(b"body"),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        b"\r\n" + GET,
    ],
    ids=["no body", "body", "chunks", "empty line"],
)
async def test_head_that_begins_right_behind_a_request_has_a_deadline(door, first):
    server = await door(head_timeout_s=0.2)
    async with connection_to(server) as (reader, writer):
        writer.write(first + HEAD)
        assert (await read_answer(reader))[0] == 200
        assert await is_cut(reader)


async def test_empty_lines_do_not_extend_the_deadline(door):
    server = await door(head_timeout_s=0.2)
    async with connection_to(server) as (reader, writer):
        writer.write(b"\r\n")
        assert await is_cut(reader)
        del writer


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_requests_cut_into_pieces_are_answered_in_order(door, size):
    server = await door()
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    sent = GET + post(b"x" * 300) + chunked + GET + post(b"") + chunked + post(b"yy")
    async with connection_to(server) as (reader, writer):
        for start in range(0, len(sent), size):
            writer.write(sent[start : start + size])
            await asyncio.sleep(0)
        answers = [(await read_answer(reader))[2]["read"] for _ in range(7)]
    assert answers == [0, 300, 5, 0, 0, 5, 2]


async def test_forty_requests_sent_at_once_are_all_answered(door):
    server = await door()
    async with connection_to(server) as (reader, writer):
        writer.write(post(b"body") * 40)
        assert [(await read_answer(reader))[2]["read"] for _ in range(40)] == [4] * 40


async def test_large_bodies_pass_whole(door):
    server = await door()
    body = b"x" * 3_000_000
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(body[i : i + 5000]), body[i : i + 5000]) for i in range(0, len(body), 5000)
    )
    async with connection_to(server) as (reader, writer):
        writer.write(post(body))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        assert (await read_answer(reader))[2] == {"read": len(body)}
        assert (await read_answer(reader))[2] == {"read": len(body)}


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(MAX_HEADERS + 1)) + b"\r\n",
        HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 4000) for number in range(10)) + b"\r\n",
        HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 8000) for number in range(90)) + b"\r\n",
    ],
    ids=["field", "target", "fields", "whole", "720 kB"],
)
async def test_head_over_a_limit_is_answered_431_and_ends_the_connection(door, head):
    answer = await exchange(await door(), head)
    assert answer.split(b"\r\n")[0].split()[1] == b"431"
    assert answer.count(b"HTTP/1.") == 1
    assert b'"message":"The head of the request is over a limit: %d bytes in all' % MAX_HEAD_BYTES in answer


async def test_head_with_as_many_fields_as_allowed_is_read(door):
    fields = b"".join(b"X-%d: a\r\n" % number for number in range(MAX_HEADERS - 1))
    async with connection_to(await door()) as (reader, writer):
        for _ in range(2):
            writer.write(HEAD + fields + b"\r\n")
            assert (await read_answer(reader))[0] == 200


async def test_client_is_not_asked_for_a_body_that_no_handler_wants(door):
    server = await door()
    for target, status in ((b"/unread", 401), (b"/nowhere", 404), (b"/large", 405)):
        async with connection_to(server) as (reader, writer):
            writer.write(
                post(b"", b"Expect: 100-continue").replace(b" / ", b" " + target + b" ").replace(b": 0", b": 9")
            )
            assert (await reader.readline()).split()[1] == b"%d" % status


async def test_client_is_asked_for_a_body_that_a_handler_wants(door):
    server = await door()
    async with connection_to(server) as (reader, writer):
        writer.write(post(b"body", b"Expect: 100-Continue")[:-4])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await read_answer(reader))[2] == {"read": 4}


async def test_unknown_expectation_is_ignored(door):
    server = await door()
    async with connection_to(server) as (reader, writer):
        writer.write(post(b"body", b"Expect: the-unexpected"))
        assert (await read_answer(reader))[2] == {"read": 4}


async def test_client_that_takes_nothing_of_its_response_is_cut(door):
    server = await door(stall_timeout_s=0.2)
    async with connection_to(server) as (reader, writer):
        writer.transport.pause_reading()
        writer.write(GET.replace(b"/ ", b"/large "))
        (connection,) = await eventually_connected(server)
        while connection.transport is not None:  # noqa: ASYNC110 - the other side's state
            await asyncio.sleep(0.01)
        writer.transport.resume_reading()
        assert len(await everything(reader)) < 4_000_000


async def test_no_rest_of_a_body_is_waited_for_when_the_client_has_left(door):
    server = await door()
    async with connection_to(server) as (reader, writer):
        (connection,) = await eventually_connected(server)
        connection._lingering_time = 10**6
        writer.write(post(b"body").replace(b" / ", b" /unread ")[:-1])
        assert (await read_answer(reader))[0] == 401
        task = connection._task_handler
    await task


async def eventually_connected(server):
    while not server.handler.connections:  # noqa: ASYNC110 - the other side's state
        await asyncio.sleep(0.01)
    return server.handler.connections


@pytest.mark.parametrize(
    "junk", [b"1;" + b"e" * 7000 + b"\r\nx\r\n", b"1\r\nx\r\n" + b"1;" + b"e" * 7000 + b"\r\nx\r\n"]
)
async def test_framing_much_longer_than_the_body_is_refused(door, junk):
    server = await door()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await exchange(server, head + junk * 50 + b"0\r\n\r\n")
    assert answer.count(b"HTTP/1.") <= 1
    assert b" 200 " not in answer
