"""Connections stay below the limit on descriptors, and an idle connection gives way to a new one."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
import subprocess
import sys

import pytest
from aiohttp import web

from apimetry.serving.connections import MAX_UNSENT_BYTES, STALLED_S, Connections
from apimetry.serving.descriptors import MAX_CONNECTIONS, MAX_FOR_DISK, connections_within
from apimetry.serving.listening import Acceptor
from apimetry.serving.repeats import RepeatedLine
from apimetry.serving.timers import Timeouts
from tests.support.services.front_door import ListeningServer, connection_to, everything, read_answer

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def door():
    """A server of three connections, the event that its slow handler waits for, and an item per waiting handler."""
    release, waiting = asyncio.Event(), []

    async def quick(_):
        return web.json_response("quick")

    async def slow(_):
        waiting.append(1)
        await release.wait()
        return web.json_response("slow")

    app = web.Application()
    app.router.add_get("/", quick)
    app.router.add_get("/slow", slow)
    server = ListeningServer(app, max_connections=3)
    await server.start_server()
    yield server, release, waiting
    release.set()
    await server.close()


async def test_longest_idle_connection_gives_way_to_a_new_one(door):
    server, *_ = door
    async with connection_to(server) as first, connection_to(server) as second, connection_to(server) as third:
        for reader, writer in (second, first, third, second):
            writer.write(GET)
            assert (await read_answer(reader))[0] == 200
        async with connection_to(server) as (reader, writer):
            writer.write(GET)
            assert (await read_answer(reader))[0] == 200
            assert await everything(first[0]) == b""
            for open_reader, open_writer in (second, third):
                open_writer.write(GET)
                assert (await read_answer(open_reader))[0] == 200


async def test_silent_connections_and_half_heads_shut_no_client_out(door):
    server, *_ = door
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(40)]
    for _, writer in silent[::2]:
        writer.write(GET[:20])
    for _ in range(5):
        async with connection_to(server) as (reader, writer):
            writer.write(GET)
            assert (await read_answer(reader))[0] == 200
    assert len(server.handler.connections) <= 3
    for _, writer in silent:
        writer.close()


async def test_busy_connections_are_not_cut_and_new_ones_wait(door):
    server, release, waiting = door
    async with connection_to(server) as first, connection_to(server) as second, connection_to(server) as third:
        for _, writer in (first, second, third):
            writer.write(GET.replace(b"/ ", b"/slow "))
        while len(waiting) < 3:  # noqa: ASYNC110 - the other side's state
            await asyncio.sleep(0.01)
        async with connection_to(server) as (reader, writer):
            writer.write(GET)
            answer = asyncio.ensure_future(read_answer(reader))
            await asyncio.sleep(0.1)  # long enough for a response
            assert not answer.done()
            release.set()
            assert (await answer)[0] == 200
        for reader, _ in (first, second):
            assert (await read_answer(reader))[2] == "slow"


class Cuttable:
    def __init__(self, unsent_bytes=0):
        self.cut = 0
        self.unsent_bytes = unsent_bytes

    def give_way(self):
        self.cut += 1


def test_stalled_connection_gives_way_after_a_while_and_after_the_waiting_ones():
    now = [0.0]
    table = Connections(2, clock_s=lambda: now[0])
    stalled, waiting = Cuttable(), Cuttable()
    for connection in (stalled, waiting):
        table.add(connection)
    table.works(stalled)
    table.stalls(stalled)
    now[0] = STALLED_S
    assert table.full
    assert [table.make_room(), waiting.cut, stalled.cut] == [True, 1, 0]
    assert [table.make_room(), stalled.cut] == [True, 1]
    assert not table.make_room()
    table.add(stalled)
    table.works(stalled)
    table.stalls(stalled)
    assert not table.make_room()


@pytest.mark.parametrize(
    ("limit", "listeners", "connections"),
    [
        (512, 2, 128),
        (512, 1, 256),
        (1024, 2, 256),
        (4, 2, 1),
        (20_000, 2, MAX_CONNECTIONS),
        (10_000, 2, (10_000 - MAX_FOR_DISK) // 2),
    ],
)
def test_connections_leave_descriptors_for_the_disk(limit, listeners, connections):
    assert connections_within(limit, listeners) == connections


def test_responses_that_clients_do_not_take_are_bounded_in_bytes():
    table = Connections(100)
    connections = [Cuttable(MAX_UNSENT_BYTES // 4) for _ in range(6)]
    for connection in connections:
        table.add(connection)
        table.works(connection)
    for connection in connections[:4]:
        table.stalls(connection)
    assert not any(connection.cut for connection in connections)
    # What a client has taken counts no more; of the others, the one that stalled first gives way.
    table.moves(connections[1])
    table.stalls(connections[4])
    assert not any(connection.cut for connection in connections)
    table.stalls(connections[5])
    assert [connection.cut for connection in connections] == [1, 0, 0, 0, 0, 0]
    table.remove(connections[2])
    table.stalls(connections[1])
    assert [connection.cut for connection in connections] == [1, 0, 0, 0, 0, 0]


def test_limit_on_descriptors_is_raised_to_the_hard_one():
    code = (
        "import resource, json; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 300));"
        "from apimetry.serving.descriptors import raise_descriptor_limit;"
        "print(json.dumps([raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE)]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert json.loads(printed) == [300, 300, 300]


class Refusing:
    """A listening socket on which a client always waits and no client can be accepted."""

    def __init__(self, real):
        self._real = real
        self.attempts = 0

    def fileno(self):
        return self._real.fileno()

    def accept(self):
        self.attempts += 1
        raise OSError(errno.EMFILE, "Too many open files")

    def close(self):
        self._real.close()


async def test_failed_accept_is_logged_once_and_tried_again_later(door, caplog):
    server, *_ = door
    server_end, client_end = socket.socketpair()
    client_end.send(b"somebody waits")
    refusing, table = Refusing(server_end), Connections(10)
    acceptor = Acceptor(refusing, server.handler, table, Timeouts(1, 1, 1))
    acceptor.start()
    while refusing.attempts < 2:  # noqa: ASYNC110 - the loop's own doing
        await asyncio.sleep(0.01)
    acceptor.close()
    client_end.close()
    assert caplog.messages == ["1 times no connection could be accepted, the last time: Too many open files"]


def test_repeated_line_is_written_once_an_interval_with_its_count(caplog):
    now = [0.0]
    line = RepeatedLine(logging.getLogger("apimetry.test"), "%d times: %s", clock_s=lambda: now[0])
    for _ in range(5):
        line.say("first")
    now[0] = 10.0
    line.say("last")
    assert caplog.messages == ["1 times: first", "5 times: last"]
