"""Connections without a request are cut, and other connections are not affected."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from apimetry.serving.listening import listen


@asynccontextmanager
async def listening(head_timeout_s):
    async def hello(request):
        return web.Response(text=f"hello {len(await request.read())}")

    app = web.Application()
    app.router.add_route("*", "/", hello)
    listener = await listen(app, "127.0.0.1", 0, grace_s=1.0, head_timeout_s=head_timeout_s)
    yield listener.url
    await listener.close()


async def connect(url):
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def cut(reader):
    """Wait until the connection is gone; the test's timeout bounds it."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_500_connections_of_slow_heads_are_cut_and_harm_no_other_client():
    async with listening(head_timeout_s=1.5) as url:
        connections = [await connect(url) for _ in range(500)]

        trickling = asyncio.gather(*[cut(reader) for reader, _ in connections])
        for byte in b"POST / HTTP/1.1":
            for _, writer in connections:
                writer.write(bytes([byte]))
        async with aiohttp.ClientSession() as session:
            for _ in range(20):
                async with session.post(url, data=b"body") as response:
                    assert await response.text() == "hello 4"
        assert all(await trickling)
        for _, writer in connections:
            writer.close()


async def test_silent_connection_is_cut():
    async with listening(head_timeout_s=0.05) as url:
        reader, writer = await connect(url)
        assert await cut(reader)
        writer.close()


async def test_head_in_any_pieces_and_a_slow_body_pass():
    async with listening(head_timeout_s=0.5) as url:
        reader, writer = await connect(url)
        for byte in b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        await asyncio.sleep(0.6)  # the deadline of the head is over, and the head is complete
        writer.write(b"body")
        assert (await reader.readuntil(b"hello 4")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_connection_stays_open_for_later_requests():
    async with listening(head_timeout_s=0.2) as url:
        reader, writer = await connect(url)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hello 0")
            await asyncio.sleep(0.15)
        writer.close()
