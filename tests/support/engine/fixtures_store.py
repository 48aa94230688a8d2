"""ClickHouse, embedded and over HTTP, for tests.

chDB opens one directory per process at a time: a test that opens an embedded store closes it, and the fixtures check
that it did. The server is one for the whole run. The tests of a module use one database one after another; a test
that asks for a URL has a database of its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apimetry.store.client import Store
from tests.support.engine.clickhouse_server import ClickHouseServer
from tests.support.engine.recycling import EmbeddedDatabase, Recycled, ServerDatabase
from tests.support.engine.template import copy_store, make_template

REAL_CLICKHOUSE = "APIMETRY_TEST_CLICKHOUSE_URL"


@pytest.fixture(scope="session")
def _session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def clickhouse_server(request: pytest.FixtureRequest) -> Iterator[ClickHouseServer]:
    """The server with its faults; skipped where another ClickHouse is tested, which has none to inject."""
    if os.environ.get(REAL_CLICKHOUSE):
        pytest.skip(f"faults cannot be injected into the ClickHouse of {REAL_CLICKHOUSE}")
    server: ClickHouseServer = request.getfixturevalue("_session_server")
    if not server.alive:
        server.restart()
    yield server
    if server.alive:
        server.clear_faults()


@pytest.fixture
def clickhouse_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A store's URL over HTTP, with a database of its own."""
    if REAL_CLICKHOUSE not in os.environ:
        request.getfixturevalue("clickhouse_server")
    url = _server_url(request)
    yield url
    _drop(url, request)


@pytest.fixture
def embedded_store_url(tmp_path: Path, _embedded_database: Recycled) -> Iterator[str]:
    """A fresh embedded store's URL; fails the test that leaves a store open, before the next one meets it."""
    _embedded_database.close()
    yield f"chdb://{tmp_path}/store"
    if _engine_runs():
        pytest.fail("the test left its embedded store open")


@pytest.fixture(params=["embedded", "http"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh store's URL, both ways."""
    name = "embedded_store_url" if request.param == "embedded" else "clickhouse_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def _migrated_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a closed, migrated, empty embedded store, to copy and never to open."""
    directory = tmp_path_factory.mktemp("migrated") / "store"
    make_template(directory)
    return directory


@pytest.fixture(scope="module")
def _embedded_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recycled]:
    def make() -> EmbeddedDatabase:
        directory = tmp_path_factory.mktemp("embedded") / "store"
        copy_store(request.getfixturevalue("_migrated_template"), directory)
        return EmbeddedDatabase(directory)

    recycled = Recycled(make)
    yield recycled
    recycled.close()


@pytest.fixture(scope="module")
def _server_database(request: pytest.FixtureRequest) -> Iterator[Recycled]:
    urls: list[str] = []

    def make() -> ServerDatabase:
        urls.append(_server_url(request))
        return ServerDatabase(urls[-1])

    recycled = Recycled(make)
    yield recycled
    recycled.close()
    for url in urls:
        _drop(url, request)


@pytest.fixture
def embedded_store(_embedded_database: Recycled) -> Iterator[Store]:
    """An open, migrated, empty store, where the kind of store makes no difference."""
    store = Store(_embedded_database.take().url)
    store.open()
    yield store
    store.close()
    _embedded_database.give_back()


@pytest.fixture
def http_store(_server_database: Recycled, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An open, migrated, empty store over HTTP."""
    yield from _open_over_http(_server_database, request)


@pytest.fixture
def server_store(_server_database: Recycled, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An open, migrated, empty store over HTTP, with a short patience for answers that do not come."""
    yield from _open_over_http(_server_database, request, receive_timeout_s=2)


@pytest.fixture(params=["embedded", "http"])
def store(request: pytest.FixtureRequest) -> Store:
    """An open, migrated, empty store, both ways."""
    store: Store = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture(scope="module", params=["embedded", "http"])
def shared_store(
    request: pytest.FixtureRequest, _embedded_database: Recycled, _server_database: Recycled
) -> Iterator[Store]:
    """An open, migrated store for all tests of a module, both ways. Each test has an application of its own in it.

    No test of the module may open an embedded store of its own.
    """
    database = _embedded_database if request.param == "embedded" else _server_database
    store = Store(database.take().url)
    store.open()
    yield store
    store.close()
    database.give_back()


def _open_over_http(database: Recycled, request: pytest.FixtureRequest, **options: int) -> Iterator[Store]:
    server: ClickHouseServer | None = None
    if REAL_CLICKHOUSE not in os.environ:
        server = request.getfixturevalue("clickhouse_server")
    store = Store(database.take().url, **options)
    store.open()
    yield store
    if server is not None and server.alive:
        server.clear_faults()
    store.close()
    database.give_back()


def _server_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database that does not exist yet."""
    database, real = f"test_{uuid.uuid4().hex[:12]}", os.environ.get(REAL_CLICKHOUSE)
    if real:
        return urlsplit(real)._replace(path=f"/{database}").geturl()
    server: ClickHouseServer = request.getfixturevalue("_session_server")
    return server.url(database)


def _drop(url: str, request: pytest.FixtureRequest) -> None:
    database, real = urlsplit(url).path.lstrip("/"), os.environ.get(REAL_CLICKHOUSE)
    if real:
        store = Store(real)
        store.open()
        store.command(f"DROP DATABASE IF EXISTS `{database}`")
        store.close()
        return
    server: ClickHouseServer = request.getfixturevalue("_session_server")
    if server.alive:
        server.clear_faults()
        server.drop(database)


def _engine_runs() -> bool:
    """Whether this process has the engine's threads, which end with its last client; False where /proc is missing."""
    threads = Path("/proc/self/task").glob("*/comm")
    return any(name.read_text() == "MergeMutate\n" for name in threads)
