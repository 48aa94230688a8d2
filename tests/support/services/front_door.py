"""Applications behind the listener that the services really have, and raw bytes to it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestServer
from yarl import URL

from apimetry.serving.listening import listen


class ListeningServer(TestServer):
    """An aiohttp test server that listens as `apimetry` does; `options` are `listen`'s."""

    def __init__(self, app, **options):
        super().__init__(app)
        self._options = {"grace_s": 15.0, **options}
        self._listener = None

    async def start_server(self, loop=None, **_):
        if self._listener is None:
            self._listener = await listen(self.app, "127.0.0.1", 0, **self._options)
            self.runner = self._listener._runner
            self._root = URL(self._listener.url)
            self.scheme, self.port = "http", self._root.port

    async def close(self):
        if self._listener is not None and not self._closed:
            self._closed = True
            await self._listener.close()


@asynccontextmanager
async def connection_to(server):
    """A raw connection: its reader and writer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(server, data):
    """Send bytes and return everything that comes back until the connection ends; the client ends it after a while
    of silence where the server keeps it."""
    async with connection_to(server) as (reader, writer):
        writer.write(data)
        return await everything(reader)


async def everything(reader):
    """What comes until the connection ends, or is reset."""
    received = b""
    try:
        while piece := await reader.read(65536):
            received += piece
    except ConnectionError:
        pass
    return received


async def read_answer(reader):
    """One answer with a Content-Length: its status and its JSON."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), headers, json.loads(body)
