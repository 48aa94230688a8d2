"""A store whose server wants TLS with a private authority and a client's certificate.

The engine of the tests has no TLS of its own: a forwarder in front of it has.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from apimetry.store import migrations
from apimetry.store.address import parse_address
from apimetry.store.client import Store
from apimetry.store.errors import StoreUnavailable
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.oracles.event_rows import encode_rows


@asynccontextmanager
async def tls_in_front_of(port: int, authority: trustme.CA) -> AsyncIterator[int]:
    """Forward TLS connections with a client's certificate to `port`, and give the port for them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, engine_writer), pump(engine_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def stored_through(url: str, options: str) -> int:
    store = Store(f"{url}?{options}", receive_timeout_s=5)
    store.open()
    try:
        migrations.migrate(store)
        store.insert_rows("segment", encode_rows(10))
        ((count,),) = store.query("SELECT count() FROM events")
    finally:
        store.close()
    return count


@pytest.fixture
def secured_server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    server = ClickHouseServer(tmp_path / "server", password="right")
    server.start()
    yield server
    server.kill()


async def test_a_private_authority_and_a_clients_certificate_open_the_store_and_less_does_not(
    secured_server: ClickHouseServer, tmp_path: Path
):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = authority.issue_cert("collector@example.com")
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    trusted, identity = f"ca_cert={tmp_path}/ca.pem", f"client_cert={tmp_path}/client.pem"
    plain = parse_address(secured_server.url("apimetry"))
    async with tls_in_front_of(plain.port, authority) as port:
        url = f"clickhouses://{plain.username}:{plain.password}@127.0.0.1:{port}/apimetry"
        assert await asyncio.to_thread(stored_through, url, f"{trusted}&{identity}") == 10
        for options in (trusted, identity):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await asyncio.to_thread(stored_through, url, options)
