"""ClickHouse, embedded and over HTTP, for tests.

chDB opens one directory per process at a time: a test that opens an embedded store closes it, and the fixtures check
that it did. The server is one for the whole run; each test has a database of its own in it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apimetry.store import migrations
from apimetry.store.client import Store
from apimetry.store.errors import StoreError
from tests.support.engine.clickhouse_server import ClickHouseServer

REAL_CLICKHOUSE = "APIMETRY_TEST_CLICKHOUSE_URL"


@pytest.fixture(scope="session")
def _session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def clickhouse_server(request: pytest.FixtureRequest) -> Iterator[ClickHouseServer]:
    """The server with its faults; skipped where a real ClickHouse is tested, which has none to inject."""
    if os.environ.get(REAL_CLICKHOUSE):
        pytest.skip(f"faults cannot be injected into the real ClickHouse of {REAL_CLICKHOUSE}")
    server: ClickHouseServer = request.getfixturevalue("_session_server")
    if not server.alive:
        server.restart()
    yield server
    if server.alive:
        server.clear_faults()


@pytest.fixture
def clickhouse_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A store's URL over HTTP, with a database of its own."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    real = os.environ.get(REAL_CLICKHOUSE)
    if real:
        yield urlsplit(real)._replace(path=f"/{database}").geturl()
        store = Store(real)
        store.open()
        store.command(f"DROP DATABASE IF EXISTS `{database}`")
        store.close()
        return
    server: ClickHouseServer = request.getfixturevalue("clickhouse_server")
    yield server.url(database)
    if server.alive:
        server.clear_faults()
        server.drop(database)


@pytest.fixture
def embedded_store_url(tmp_path: Path) -> Iterator[str]:
    """A fresh embedded store's URL; fails the test that leaves a store open, before the next one meets it."""
    yield f"chdb://{tmp_path}/store"
    probe = Store(f"chdb://{tmp_path}/probe")
    try:
        probe.open()
    except StoreError as error:
        pytest.fail(f"the test left its embedded store open: {error}")
    probe.close()


@pytest.fixture(params=["embedded", "http"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh store's URL, both ways."""
    name = "embedded_store_url" if request.param == "embedded" else "clickhouse_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open, migrated store, both ways."""
    store = Store(store_url)
    store.open()
    migrations.migrate(store)
    yield store
    store.close()


@pytest.fixture
def server_store(clickhouse_url: str) -> Iterator[Store]:
    """An open, migrated store over HTTP, with a short patience for answers that do not come."""
    store = Store(clickhouse_url, receive_timeout_s=2)
    store.open()
    migrations.migrate(store)
    yield store
    store.close()


@pytest.fixture(scope="module", params=["embedded", "http"])
def shared_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _session_server: ClickHouseServer
) -> Iterator[Store]:
    """An open, migrated store for all tests of a module, both ways. Each test has an application of its own in it.

    No test of the module may open an embedded store of its own.
    """
    real, database = os.environ.get(REAL_CLICKHOUSE), f"test_{uuid.uuid4().hex[:12]}"
    url = f"chdb://{tmp_path_factory.mktemp('shared')}/store"
    if request.param == "http":
        url = urlsplit(real)._replace(path=f"/{database}").geturl() if real else _session_server.url(database)
    store = Store(url)
    store.open()
    migrations.migrate(store)
    yield store
    if request.param == "http":
        store.command(f"DROP DATABASE IF EXISTS `{database}`")
    store.close()
