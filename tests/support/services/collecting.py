"""A collector over a store in memory, and what its tests send."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from http import HTTPStatus

import msgpack
from aiohttp.test_utils import TestClient

from apimetry.collector.app import create_app
from apimetry.collector.settings import CollectorSettings, SpoolSettings
from apimetry.middleware import wire
from apimetry.store.accounts.accounts import Application, Key, KeyKind, Organization, Plan, RequestLimits
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.records import hash_key
from apimetry.store.errors import StoreRejected, StoreUnavailable
from apimetry.store.native import decode_blocks
from tests.support.services.front_door import ListeningServer
from tests.support.services.keys import ADMIN_KEY, OTHER_WRITE_KEY, READ_KEY, WRITE_KEY

if sys.version_info >= (3, 14):
    from compression import zstd as zstd  # noqa: PLC0414 - exported
else:
    from backports import zstd as zstd  # noqa: PLC0414 - exported

ORGANIZATION = "0" * 24
KEYS = {KeyKind.admin: ADMIN_KEY, KeyKind.write: WRITE_KEY, KeyKind.read: READ_KEY}
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def unpack_rows(body):
    """Rows of an insert's body, as dicts."""
    rows = []
    for columns in decode_blocks(body):
        names = [column.name for column in columns]
        values = [column.values for column in columns]
        rows += [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return rows


async def eventually(condition):
    """Wait until `condition()` is true; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what is awaited happens in other threads
        await asyncio.sleep(0.005)


class MemoryStore:
    """Takes each token once; can be away, lose its answers, and refuse rows that `poison` recognizes."""

    embedded = True

    def __init__(self):
        self.bodies = {}
        self.reports = {}
        self.collector_reports = []
        self.rows = []
        self.attempts = []
        self.away = False
        self.lose_answers = 0
        self.poison = None
        self.hold = None
        self.questions = 0

    def revision(self):
        return None

    async def run_reserved(self, function, *args):
        if self.hold is not None and function == self.insert_rows:
            await self.hold.wait()
        return await asyncio.to_thread(function, *args)

    def query(self, sql, parameters=None):
        """Answers the one question of the collector: the calls of the month."""
        assert "FROM counters" in sql
        self.questions += 1
        if self.away:
            raise StoreUnavailable("away")
        return [(ORGANIZATION, len(self.rows))]

    async def run(self, function, *args):
        return await asyncio.to_thread(function, *args)

    def command(self, sql, parameters=None, *, settings=None):
        """Takes the one statement of the collector: its report."""
        assert "INSERT INTO collector_reports" in sql
        if self.away:
            raise StoreUnavailable("away")
        self.collector_reports.append(parameters)

    def insert_sender_reports(self, token, body):
        self.reports.setdefault(token, body)

    def insert_rows(self, token, body):
        self.attempts.append(token)
        if self.away:
            raise StoreUnavailable("away")
        rows = unpack_rows(body)
        if self.poison is not None and any(self.poison(row) for row in rows):
            raise StoreRejected("poison")
        if token in self.bodies:
            assert self.bodies[token] == body, "a retry changed its bytes"
        else:
            self.bodies[token] = body
            self.rows += rows
        if self.lose_answers:
            self.lose_answers -= 1
            raise StoreUnavailable("the answer was lost")


class MemoryAccounts:
    """The records that a Directory reads."""

    def __init__(self, store, plan=None):
        self.store = store
        self.plan = plan or Plan()

    def organizations(self):
        return [Organization(ORGANIZATION, "default", self.plan, NOW)]

    def applications(self):
        return [Application(name, ORGANIZATION, name, 90, RequestLimits(), NOW) for name in ("shop", "blog")]

    def working_keys_with_hashes(self):
        def key(kind, secret, number, application):
            return Key(f"{number:024x}", kind, ORGANIZATION, application, "k", secret[:14], NOW, None, None, None)

        keys = [(key(KeyKind.admin, KEYS[KeyKind.admin], 1, None), KEYS[KeyKind.admin])]
        keys += [(key(k, KEYS[k], n, "shop"), KEYS[k]) for n, k in enumerate((KeyKind.write, KeyKind.read), 2)]
        keys.append((key(KeyKind.write, OTHER_WRITE_KEY, 9, "blog"), OTHER_WRITE_KEY))
        return [(key, hash_key(secret)) for key, secret in keys]

    def record_use(self, uses):
        return None


class Collector:
    """A running collector: `post` sends, `drained` waits for the store."""

    def __init__(self, client, store, app):
        self.client = client
        self.store = store
        self.app = app

    async def post(self, body, *, path="/1/event/", key=KEYS[KeyKind.write], **headers):
        sent = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
        if key:
            sent["X-API-Key"] = key
        return await self.client.post(path, data=body, headers={n: v for n, v in sent.items() if v is not None})

    async def metrics(self):
        text = await (await self.client.get("/metrics")).text()
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name.removeprefix("apimetry_collector_"): float(value) for name, _, value in lines}

    async def total(self, name):
        return sum(value for key, value in (await self.metrics()).items() if key.partition("{")[0] == name)

    async def drained(self):
        """Wait until the spool is empty; the test's timeout bounds it."""
        while await self.total("spool_events"):  # noqa: ASYNC110 - as an operator would
            await asyncio.sleep(0.01)

    async def reconcile(self):
        """The counters of an idle collector add up."""
        metrics = ("received_events_total", "recovered_events_total")
        incoming = sum([await self.total(name) for name in metrics])
        names = ("stored_events_total", "spool_events", "rejected_events_total", "quarantined_events_total")
        assert incoming == sum([await self.total(name) for name in names])
        return incoming


@asynccontextmanager
async def collecting(directory, store=None, *, spool=None, plan=None, grace_s=15.0, **settings):
    """A collector whose spool is in `directory`; in the end it waits `grace_s` for its requests."""
    store = store or MemoryStore()
    accounts = Directory(MemoryAccounts(store, plan))
    spool = {"segment_age_s": 0.02, **(spool or {})}
    collector_settings = CollectorSettings(
        spool=SpoolSettings(directory=directory, **spool), min_backoff_s=0.01, **settings
    )
    app = create_app(store, accounts, collector_settings)
    await accounts.start()
    async with TestClient(ListeningServer(app, grace_s=grace_s)) as client:
        yield Collector(client, store, app)
    await accounts.close()


def event(**changes):
    """A valid event of the JSON format."""
    return {
        "timestamp": time.time() - 60,
        "method": "GET",
        "url": "/v1/scores/1",
        "response_us": 1200,
        "status_code": 200,
        **changes,
    }


def wire_row(number=0, **changes):
    """A valid event of the msgpack format, as a list."""
    now_us = int(time.time() * 1e6)
    row = (
        now_us - 60_000_000, "GET", f"/v1/scores/{number}", "/v1/scores/{identity}", "scores.get", 200, 1200 + number,
        None, None, 512, "consumer", "", "", "", 1, None,
    )  # fmt: skip
    values = dict(zip(wire.EVENT_FIELDS, row, strict=True))
    return list({**values, **changes}.values())


def envelope(rows, batch_id=b"i" * 16, **changes):
    """A msgpack body."""
    sender = {"source": "web-1", "version": "1.0", "instance": "a" * 32, "captured": 5, "sent": 3, "dropped": {}}
    return msgpack.packb({"v": 1, "id": batch_id, "sender": sender, "events": rows, **changes})


def body_of(*events):
    """Return a body of the JSON format."""
    return json.dumps(list(events)).encode()


async def refusal(response, status):
    """Assert the one error shape, and return its message."""
    answer = await response.json()
    assert response.status == status, answer
    assert answer["error"] == HTTPStatus(status).phrase
    return answer["message"]
