"""Runs queries, commands and inserts in ClickHouse, in this process or over HTTP. All of the store goes through it.

A clickhouse-connect client serializes its calls, so each call borrows one of its own: as many as there are calls at
once, kept for the next. They have no session, so that a balancer may send each call to another replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from clickhouse_connect.driver.client import Client

from apimetry.store.address import StoreAddress, checked_cluster, parse_address
from apimetry.store.connections import embedded_client, http_client
from apimetry.store.embedded.intent import Intents, fed_tables, undo
from apimetry.store.embedded.ownership import Ownership, take_ownership
from apimetry.store.embedded.repair import forget_lost_blocks
from apimetry.store.errors import StoreError, StoreRejected, StoreUnavailable, map_error
from apimetry.store.events import EVENTS, clear_insert_files, insert_into
from apimetry.store.senders import SENDER_REPORTS
from apimetry.store.statement import Statement
from apimetry.store.streaming import StreamFormat, stream_from_engine, stream_from_server

T = TypeVar("T")

# The longest silence on a connection, and so the longest that a hanging server can hold `close`. Long work is not
# silent: ClickHouse sends progress headers every 55 s.
RECEIVE_TIMEOUT_S: Final = 60
# Threads for what must not wait behind queries: inserts, and the accounts both services authenticate against.
RESERVED_THREADS: Final = 2
# Threads of `run` beyond `threads`: alert rules are evaluated while clients' queries occupy all of those.
SERVICE_THREADS: Final = 1

# What one query may use. A caller may ask for less, never for more.
QUERY_LIMITS: Final[Mapping[str, int]] = {
    "max_execution_time": 30,
    "max_memory_usage": 4 * 1024**3,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 512 * 1024**2,
}
# A statement is found by its comment: an id would have to be new for each statement.
_END_QUERIES: Final = "KILL QUERY{on_cluster} WHERE Settings['log_comment'] = {{comment:String}} ASYNC"
_TABLES: Final = (
    "SELECT name, dependencies_table, data_paths FROM system.tables WHERE database = {database:String} ORDER BY name"
)
# The engine compiles an expression that it meets again. That takes several milliseconds for each new value in it, and
# queries of a hundred million rows were no faster.
_INTERPRETED: Final[Mapping[str, object]] = {"compile_expressions": 0, "compile_aggregate_expressions": 0}
_OVERFLOW: Final[Mapping[str, object]] = {"timeout_overflow_mode": "throw", "result_overflow_mode": "throw"}


class Store:
    """ClickHouse, embedded (`chdb:///path`) or over HTTP: blocking calls from any thread, `run` for asyncio.

    Construction reads the URL and connects nothing. Mutable state: the idle clients, `_opened` and `_why_not_open`,
    under `_lock`, and `_fed` (tables by what feeds them), which is replaced as a whole.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: str | None = None,
        threads: int = 4,
        receive_timeout_s: int = RECEIVE_TIMEOUT_S,
    ) -> None:
        self.address: Final[StoreAddress] = parse_address(url)
        self.cluster: Final = checked_cluster(cluster)
        self.threads: Final = threads
        self._receive_timeout_s = receive_timeout_s
        self._lock = threading.Lock()
        self._idle: list[Client] = []
        self._opened = False
        self._why_not_open = "the store is not available yet"
        self._ownership: Ownership | None = None
        self._intents: Intents | None = None
        self._fed: dict[str, list[Path]] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._reserved: ThreadPoolExecutor | None = None

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self.address.path is not None

    @property
    def database(self) -> str:
        """The database that holds the tables."""
        return self.address.database

    def open(self) -> None:
        """Connect, and create the database where it is missing.

        Raises StoreLocked when another process owns the embedded store, StoreUnavailable when the server is away.
        """
        if self._opened:
            return
        try:
            if self.address.path is not None:
                self._ownership = _prepare_directory(self.address.path)
                self._intents = Intents(self.address.path)
            # Kept from the start: chDB's engine runs as long as it has a client.
            self._idle.append(self._first_client())
        except BaseException:
            self._release()
            raise
        self._executor = ThreadPoolExecutor(self.threads + SERVICE_THREADS, "apimetry-store")
        self._reserved = ThreadPoolExecutor(RESERVED_THREADS, "apimetry-store-reserved")
        self._opened = True

    def close(self) -> None:
        """Wait for running calls, close every client and give up the embedded store; harmless when repeated."""
        with self._lock:
            self._opened = False
            self._why_not_open = "the store is closed"
        for executor in (self._executor, self._reserved):
            if executor is not None:
                executor.shutdown(wait=True, cancel_futures=True)
        self._executor = self._reserved = None
        self._release()

    def query(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Rows of one SELECT without SETTINGS or FORMAT of its own; times of day are aware, in UTC.

        Values go as `{name:Type}` and are bound by the server. Every query has QUERY_LIMITS; `settings` may lower
        them.
        """
        limits = query_settings(settings)
        with self._borrowed(inserting=False) as client:
            result = client.query(sql, parameters=dict(parameters or {}), settings=limits)
            return [tuple(row) for row in result.result_rows]

    def ask(self, statement: Statement, *, settings: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of one statement: `query` for those that come with their values."""
        return self.query(statement.sql, statement.parameters, settings=settings)

    def stream(self, statement: Statement, *, form: StreamFormat) -> Generator[bytes, None, None]:
        """Yield a SELECT's rows as a file in the engine's `form`, in constant memory; nothing happens until then.

        `close` of the generator ends the query. It raises like `query`, also after it has yielded: the bytes are a
        whole file only when it ended without an error. A CSV has no heading, and its last column must be a text.
        """
        if self.address.path is not None:
            if not self._opened:
                raise StoreUnavailable(self._why_not_open)
            return stream_from_engine(self.address.path, self.database, statement, form)
        return stream_from_server(self._connect(self.database), statement, form)

    def command(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Run one statement for its effect. It is sent once: a lost answer is the caller's to resolve."""
        with self._borrowed(inserting=False) as client:
            client.command(sql, parameters=dict(parameters or {}), settings=dict(settings or {}))
        self._fed = {}  # it may have made a table, or a view

    def end_queries(self, comment: str) -> None:
        """End the statements that run with the setting `log_comment`; they raise StoreUnavailable where they run."""
        on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
        with self._borrowed(inserting=False) as client:
            client.command(_END_QUERIES.format(on_cluster=on_cluster), parameters={"comment": comment})

    @contextlib.contextmanager
    def inserts_held(self) -> Iterator[None]:
        """Hold all inserts into an embedded store until the block ends. With a server it does nothing.

        Use it around every other statement that makes parts in `events` or in a rollup: an insert that is undone
        at the next start would take these parts with it.
        """
        with self._intents.hold() if self._intents is not None else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def between_inserts(self) -> Iterator[None]:
        """Let the queries of the block see the same events: inserts into an embedded store wait for its end.

        An insert waits for `intent.READING_S` at most. The block begins when the insert under way has ended. With a
        server it does nothing.
        """
        with self._intents.reading() if self._intents is not None else contextlib.nullcontext():
            yield

    def insert_rows(self, token: str, body: bytes | memoryview) -> None:
        """Insert rows of `events`, exactly once for each token, however often it is called with the same bytes.

        `body` holds Native blocks one after another, of which each names its columns; what it lacks takes the table's
        defaults. Raises StoreUnavailable when the outcome is unknown or the store away (call again with the same
        token and bytes), StoreRejected when the bytes will never be taken.
        """
        self._insert(token, body, EVENTS)

    def insert_sender_reports(self, token: str, body: bytes) -> None:
        """As `insert_rows`, blocks of SENDER_COLUMNS for the table `sender_reports`."""
        self._insert(token, body, SENDER_REPORTS)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking call in the store's own bounded threads."""
        return await self._submit(self._executor, function, *args)

    async def run_reserved(self, function: Callable[..., T], *args: object) -> T:
        """As `run`, in the few threads that queries never occupy: for inserts and accounts."""
        return await self._submit(self._reserved, function, *args)

    async def _submit(self, executor: ThreadPoolExecutor | None, function: Callable[..., T], *args: object) -> T:
        if executor is None:
            raise StoreUnavailable(self._why_not_open)
        return await asyncio.get_running_loop().run_in_executor(executor, function, *args)

    def _insert(self, token: str, body: bytes | memoryview, table: str) -> None:
        with self._intent_of(table), self._borrowed(inserting=True) as client:
            insert_into(client, table, token, body, directory=self.address.path)

    def _intent_of(self, table: str) -> contextlib.AbstractContextManager[None]:
        if self._intents is None:
            return contextlib.nullcontext()
        fed = self._fed
        if table not in fed:
            rows = self.query(_TABLES, {"database": self.database})
            fed[table] = fed_tables([(name, views, paths) for name, views, paths in rows], table)
        return self._intents.insert(fed[table])

    @contextlib.contextmanager
    def _borrowed(self, *, inserting: bool) -> Iterator[Client]:
        with self._lock:
            if not self._opened:
                raise StoreUnavailable(self._why_not_open)
            client = self._idle.pop() if self._idle else None
        if client is None:
            client = self._connect(self.database)
        try:
            yield client
        except Exception as error:
            raise map_error(error, inserting=inserting) from error
        finally:
            self._give_back(client)

    def _give_back(self, client: Client) -> None:
        with self._lock:
            if self._opened and len(self._idle) < self.threads + SERVICE_THREADS + RESERVED_THREADS:
                self._idle.append(client)
                return
        client.close()

    def _first_client(self) -> Client:
        """A client of the database, which is made where it is missing."""
        client = self._connect(None)
        try:
            found = client.query(
                "SELECT count() FROM system.databases WHERE name = {database:String}",
                parameters={"database": self.database},
            ).result_rows
            if not found[0][0]:
                on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
                client.command(f"CREATE DATABASE IF NOT EXISTS `{self.database}`{on_cluster}")
        except Exception as error:
            client.close()
            raise map_error(error, inserting=False) from error
        client.database = self.database
        return client

    def _connect(self, database: str | None) -> Client:
        try:
            if self.embedded:
                return embedded_client(self.address, database)
            return http_client(self.address, database, self._receive_timeout_s)
        except Exception as error:
            raise map_error(error, inserting=False) from error

    def _release(self) -> None:
        with self._lock:
            clients, self._idle = self._idle, []
        for client in clients:
            client.close()
        if self._intents is not None:
            self._intents.close()
            self._intents = None
        if self._ownership is not None:
            self._ownership.release()
            self._ownership = None


def _prepare_directory(directory: Path) -> Ownership:
    """Own an embedded store's directory and clear up after a process that was killed."""
    try:
        ownership = take_ownership(directory)
        try:
            clear_insert_files(directory)
            undo(directory)
            forget_lost_blocks(directory)
        except BaseException:
            ownership.release()
            raise
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreUnavailable(f"{directory} cannot be used ({error.strerror})") from error
    return ownership


def query_settings(asked: Mapping[str, object] | None) -> dict[str, object]:
    """The limits of one query: QUERY_LIMITS, lowered by what the caller asked for."""
    settings: dict[str, object] = {**QUERY_LIMITS, **_OVERFLOW, **_INTERPRETED}
    for name, value in (asked or {}).items():
        limit = QUERY_LIMITS.get(name)
        if limit is None:
            if name in _OVERFLOW:
                raise StoreRejected(
                    f"{name} is fixed: a query over its limit is an error, never a part of the answer"
                )
            settings[name] = value
        elif isinstance(value, (int, float)) and 0 < value <= limit:
            settings[name] = value
        else:
            raise StoreRejected(f"{name} may be above 0 and at most {limit}")
    return settings
