"""A service whose tables are filled with the largest values, to be run: prints how far its resident memory grows.

    python bounded_memory.py collector|query DIRECTORY

Clients are raw sockets of this process. The store answers nothing, so that everything that may wait does wait.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import secrets
import socket
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from apimetry.collector.app import CONTROL
from apimetry.collector.app import create_app as create_collector
from apimetry.collector.call_limit import CallLimit
from apimetry.collector.formats.event_structs import Sender
from apimetry.collector.limits import MAX_KEYS
from apimetry.collector.senders import MAX_SENDERS, REASONS
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.collector.spool.files import RealFiles
from apimetry.collector.spool.quarantine import MAX_PIECES, NOTE
from apimetry.collector.spool.segment import new_token
from apimetry.query_api.app import create_app as create_query_service
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.listening import listen
from apimetry.store.accounts.accounts import Application, Key, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.records import MAX_APPLICATIONS, MAX_ROTATED_KEYS, MAX_WORKING_KEYS, hash_key
from apimetry.store.hosts import Hosts

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
CONNECTIONS = 600
WIDE = "\U0001f600"
SECRETS = [f"apimetry_{kind}_{number:037d}" for number in range(9) for kind in "wr"]


def resident_bytes():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Growth:
    """How far the resident memory grew, by what was filled."""

    def __init__(self):
        self.by_part = {}

    @contextmanager
    def of(self, part):
        before = resident_bytes()
        yield
        self.by_part[part] = resident_bytes() - before


class SilentStore:
    """Takes every statement, and answers none of them until the end."""

    threads = 4
    embedded = False
    database = "apimetry"
    cluster = None

    def __init__(self):
        self.released = asyncio.Event()
        self.hosts = Hosts((), lambda _: True)

    def revision(self):
        return None

    async def run(self, function, *arguments):
        await self.released.wait()
        raise SystemExit

    async def run_reserved(self, function, *arguments):
        return await asyncio.to_thread(function, *arguments)

    def query(self, sql, parameters=None, *, settings=None):
        return []

    def insert_rows(self, token, body):
        raise NotImplementedError

    insert_sender_reports = insert_rows

    def end_queries(self, comment):
        return None


class FullAccounts:
    """All that an organization may have, with the longest texts; the clients' keys are of nine organizations."""

    def __init__(self, store):
        self.store = store

    def organizations(self):
        return [Organization(f"{number}" * 24, WIDE * 200, Plan(WIDE * 200), NOW) for number in range(9)]

    def applications(self):
        limits = RequestLimits(2**62, 2**61, 2**60)
        return [
            Application(f"{number:064d}", f"{number % 9}" * 24, WIDE * 199 + str(number), 3650, limits, NOW)
            for number in range(MAX_APPLICATIONS)
        ]

    def working_keys_with_hashes(self):
        def key(number, kind, secret):
            owner, application = f"{number % 9}" * 24, f"{number % 9:064d}"
            name = f"{number:06d}" + WIDE * 194
            used_at, expires_at = datetime.now(timezone.utc), datetime(2100, 1, 1, number % 24, tzinfo=timezone.utc)
            times = (used_at, expires_at, None, used_at)
            return Key(f"{number:024d}", kind, owner, application, name, secret[:16], *times), hash_key(secret)

        kinds = {"w": KeyKind.write, "r": KeyKind.read}
        of_clients = [key(number // 2, kinds[secret[9]], secret) for number, secret in enumerate(SECRETS)]
        most = MAX_WORKING_KEYS + MAX_ROTATED_KEYS
        return of_clients + [key(number, KeyKind.read, secrets.token_hex(24)) for number in range(100, most)]

    def record_use(self, uses):
        return None


async def full_directory(store, growth, folder):
    directory = Directory(FullAccounts(store), snapshot_path=folder / "accounts.json", refresh_interval_s=3600)
    with growth.of("accounts"):
        await directory.start()
    return directory


async def connect(url, receive_bytes=None):
    host, port = url.removeprefix("http://").split(":")
    client = socket.socket()
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
    return client


def received(client):
    """What a client has received so far."""
    try:
        return client.recv(65_536)
    except BlockingIOError:
        return b""


async def settle(turns=200):
    for _ in range(turns):
        await asyncio.sleep(0.001)


async def fill_connections(url, growth):
    """Each connection has sent the largest head but its end."""
    lines = "".join(f"X-{number}: {'x' * 7900}\r\n" for number in range(4)).encode()[:31_000]
    with growth.of("connections"):
        clients = [await connect(url) for _ in range(CONNECTIONS)]
        for client in clients:
            await asyncio.get_running_loop().sock_sendall(client, b"GET / HTTP/1.1\r\n" + lines)
        await settle()
    for client in clients:
        client.close()
    await settle()


async def fill_caches(url, growth, key):
    """Requests that are answered, each with texts of its own, as long as a line may be."""
    loop = asyncio.get_running_loop()
    with growth.of("http caches"):
        client = await connect(url)
        for number in range(700):
            query = f"{number:06d}" + "&a" * 3500
            method, path = (("POST", "/1/event/"), ("GET", "/1/timeseries/never/60/"))[key in SECRETS[1::2]]
            head = (
                f"{method} {path}?{query} HTTP/1.1\r\nHost: h{number}.example\r\nX-API-Key: {key}\r\n"
                f"Content-Type: a/b; c{number}={'d' * 6000}\r\nContent-Length: 0\r\n\r\n"
            )
            await loop.sock_sendall(client, head.encode())
            received = b""
            while not received.endswith(b"}"):
                received += await loop.sock_recv(client, 65_536)
            assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.1 415")), received
        client.close()


async def fill_collector(folder, growth):
    store = SilentStore()
    directory = await full_directory(store, growth, folder)
    app = create_collector(store, directory, CollectorSettings(spool=SpoolSettings(directory=folder / "spool")))
    listener = await listen(app, "127.0.0.1", 0, grace_s=0.1)
    await fill_caches(listener.url, growth, SECRETS[0])
    control = app[CONTROL]
    intake, journal = control.intake, control.journal
    with growth.of("senders"):
        for number in range(MAX_SENDERS + 100):
            dropped = dict.fromkeys(REASONS, 10**5)
            sender = Sender(instance=f"{number:05d}" + WIDE * 59, captured=10**9 + number, dropped=dropped)
            intake._senders.record(f"{number % 3000:064d}", sender)
    intake.set_rate(1.0)
    with growth.of("rates"):
        for number in range(MAX_KEYS + 100):
            intake._limiter.settle(f"{number:024d}", 0, 10**6 + number)
    with growth.of("batch ids"):
        for number in range(1_300_000):
            journal.ids._known.add(secrets.token_bytes(16), number)
    with growth.of("quarantine"):
        token = new_token(10**18)
        journal.quarantine._known |= {f"{token}-b{n}-r{n}-{n + 1}.rows{NOTE}" for n in range(MAX_PIECES)}
    calls = CallLimit(None)
    with growth.of("calls"):
        for number in range(MAX_APPLICATIONS):
            calls.add(f"{number % 9}" * 24, f"{number:064d}", 10**9 + number)
    await fill_connections(listener.url, growth)
    intake.set_rate(0.0)
    await fill_spool(listener.url, growth, journal)


class StuckDisk(RealFiles):
    """A disk that takes no new file."""

    def create(self, path):
        threading.Event().wait()


async def fill_spool(url, growth, journal):
    """Batches whose rows wait for the disk, until no key may send more."""
    journal._files = StuckDisk()
    event = {"timestamp": time.time(), "method": "GET", "status_code": 200, "response_us": 1}
    rows = [{**event, "url": f"{number}" + WIDE * 500} for number in range(100)]
    body = json.dumps(rows, ensure_ascii=False).encode()
    loop = asyncio.get_running_loop()
    with growth.of("batches that wait for the disk"):
        clients = [await connect(url) for _ in range(CONNECTIONS)]
        for number, client in enumerate(clients):
            head = (
                f"POST /1/event/ HTTP/1.1\r\nHost: a\r\nX-API-Key: {SECRETS[2 * (number % 9)]}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nX-Batch-Id: {number:064d}\r\n\r\n"
            )
            await loop.sock_sendall(client, head.encode() + body)
        await settle(1000)
    answers = [answer for answer in map(received, clients) if answer]
    assert answers
    assert all(b"503" in answer[:20] for answer in answers), answers[0]


async def fill_query_service(folder, growth):
    store = SilentStore()
    directory = await full_directory(store, growth, folder)
    settings = QuerySettings(evaluate_alerts=False)
    app = create_query_service(store, directory, settings)
    listener = await listen(app, "127.0.0.1", 0, grace_s=0.1)
    await fill_caches(listener.url, growth, SECRETS[1])
    await fill_connections(listener.url, growth)
    loop = asyncio.get_running_loop()
    with growth.of("waiting questions"):
        clients = [await connect(listener.url) for _ in range(CONNECTIONS)]
        for number, client in enumerate(clients):
            filters = "&".join(f"include=url:/{number}/{part}" for part in range(350))
            secret = SECRETS[1 + 2 * (number % 9)]
            path = f"/1/timeseries/{1_700_000_000 + number}/1700009999/?{filters}"
            await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\r\n".encode())
        await settle()
    for client in clients:
        client.close()
    await settle(600)
    with growth.of("responses that nobody takes"):
        clients = [await connect(listener.url, receive_bytes=4096) for _ in range(2 * CONNECTIONS)]
        for client in clients:
            await loop.sock_sendall(client, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        await settle(600)


async def main(service, folder):
    growth = Growth()
    await {"collector": fill_collector, "query": fill_query_service}[service](folder, growth)
    print(json.dumps(growth.by_part))
    sys.stdout.flush()
    os._exit(0)  # requests and threads wait for answers that do not come


if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    threading.stack_size(512 * 1024)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
