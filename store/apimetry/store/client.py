"""Run queries, commands and inserts in ClickHouse, in this process or over HTTP. The whole store uses this module.

A clickhouse-connect client serializes its calls. So every call borrows a client for itself: there are as many clients
as concurrent calls, and idle clients are reused. Clients have no session, so a balancer may send every call to
another replica.

The URL may name several nodes of a cluster. A call goes to the first that answers (`hosts`). Where a host fails, a
SELECT, an insert with a token and a KILL go on to the next. Any other statement does only where it certainly did not
reach the failed host: it may have run there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.external import ExternalData

from apimetry.store.address import StoreAddress, StoreAddressError, checked_cluster, parse_address
from apimetry.store.changes import mark_changed
from apimetry.store.connections import embedded_client, http_client, sending_patiently
from apimetry.store.embedded.intent import Intents, fed_tables
from apimetry.store.embedded.opening import prepare_directory
from apimetry.store.embedded.ownership import Ownership
from apimetry.store.errors import StoreError, StoreUnavailable, map_error, may_go_on
from apimetry.store.events import EVENTS, insert_into
from apimetry.store.hosts import Hosts
from apimetry.store.limits import query_settings, statement_settings
from apimetry.store.rollups import LATEST_S, SINCE_SQL
from apimetry.store.senders import SENDER_REPORTS
from apimetry.store.statement import Statement
from apimetry.store.streaming import StreamFormat, stream_from_engine, stream_from_server

T = TypeVar("T")

logger = logging.getLogger(__name__)

# The longest silence on a connection, and so the longest time that a hanging server can delay `close`. A long query
# is not silent: ClickHouse sends progress headers every 55 s.
RECEIVE_TIMEOUT_S: Final = 60
# The longest silence of a host that is asked whether it is back.
_ASK_AGAIN_TIMEOUT_S: Final = 5
# Threads for calls that must not wait behind queries: inserts, and reads of the accounts for authentication.
RESERVED_THREADS: Final = 2
# Threads of `run` in addition to `threads`: alert rules are evaluated while clients' queries occupy all `threads`.
SERVICE_THREADS: Final = 1

# Readings at most, until one is of one moment.
MOST_READS: Final = 3

# A statement is identified by its comment: an id would have to be new for every statement.
_END_QUERIES: Final = "KILL QUERY{on_cluster} WHERE Settings['log_comment'] = {{comment:String}} ASYNC"
_TABLES: Final = (
    "SELECT name, dependencies_table, data_paths FROM system.tables WHERE database = {database:String} ORDER BY name"
)


class Store:
    """ClickHouse, embedded (`chdb:///path`) or over HTTP: blocking calls from any thread, `run` for asyncio.

    The constructor parses the URL and does not connect. Mutable state: the idle clients, `_opened` and
    `_why_not_open`, under `_lock`; `_fed` (the directories that an insert into a table fills), replaced as a whole;
    `_failed_inserts` and `_marked_failures`, which inserting threads write; `_days_since_s`, once it is read.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: str | None = None,
        threads: int = 4,
        receive_timeout_s: int = RECEIVE_TIMEOUT_S,
        backups: Path | None = None,
    ) -> None:
        self.address: Final[StoreAddress] = parse_address(url)
        self.cluster: Final = checked_cluster(cluster)
        self.threads: Final = threads
        if self.address.more_hosts and self.cluster is None:
            raise StoreAddressError(
                "the store's URL names several hosts and there is no cluster: each server would hold a part of the"
                " events. Name the hosts' cluster with --cluster (APIMETRY_CLUSTER)"
            )
        self.hosts: Final = Hosts(self.address.each(), self._answers)
        self._receive_timeout_s = receive_timeout_s
        # An embedded engine may write and read backups in this folder alone.
        self._backups = backups
        self._lock = threading.Lock()
        self._idle: list[Client] = []
        # No call uses it: chDB's engine stops with its last client.
        self._kept_open: Client | None = None
        self._opened = False
        self._why_not_open = "the store is not available yet"
        self._ownership: Ownership | None = None
        self._intents: Intents | None = None
        self._fed: dict[str, list[Path]] = {}
        # The first insert of a process may repeat one that another process began.
        self._failed_inserts = 1
        self._days_since_s: int | None = None
        self._marked_failures = 0
        self._executor: ThreadPoolExecutor | None = None
        self._reserved: ThreadPoolExecutor | None = None

    @property
    def embedded(self) -> bool:
        """Return whether the engine runs in this process."""
        return self.address.path is not None

    @property
    def database(self) -> str:
        """Return the name of the database that holds the tables."""
        return self.address.database

    def open(self) -> None:
        """Connect, and create the database if it is missing.

        Raises StoreLocked when another process owns the embedded store, StoreUnavailable when the server is away.
        """
        if self._opened:
            return
        try:
            if self.address.path is not None:
                self._ownership = prepare_directory(self.address.path)
                self._intents = Intents(self.address.path)
            self._open_first_client()
        except BaseException:
            self._release()
            raise
        # As many again run long queries, which gave their slots to others.
        self._executor = ThreadPoolExecutor(2 * self.threads + SERVICE_THREADS, "apimetry-store")
        self._reserved = ThreadPoolExecutor(RESERVED_THREADS, "apimetry-store-reserved")
        self._opened = True

    def close(self) -> None:
        """Wait for running calls, close every client and release the embedded store; harmless when repeated."""
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
        keys: Sequence[bytes] = (),
    ) -> list[tuple[Any, ...]]:
        """Return the rows of one SELECT without SETTINGS or FORMAT; datetimes are aware, in UTC.

        `sql` names its values as `{name:Type}`, and the server binds `parameters` to them. Every query has
        QUERY_LIMITS; `settings` may lower them. With `keys`, the statement can read them from a table `keys` with the
        column `key FixedString(16)`; only a server takes them.
        """
        limits = query_settings(settings)
        table = _table_of(keys) if keys else None

        def rows(client: Client) -> list[tuple[Any, ...]]:
            result = client.query(sql, parameters=dict(parameters or {}), settings=limits, external_data=table)
            return [tuple(row) for row in result.result_rows]

        return self._call(rows, repeats=True)

    def ask(self, statement: Statement, *, settings: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, like `query`, with the statement's own settings as well.

        The statement may name the value `days_since_s:UInt32`, from which on the rollups' rows per day are whole.
        """
        parameters = statement.parameters
        if "{days_since_s:UInt32}" in statement.sql:
            parameters = {**parameters, "days_since_s": self._days_since()}
        return self.query(statement.sql, parameters, settings=statement_settings(settings, statement))

    def _days_since(self) -> int:
        # Only a migration changes it, and services start after it. A replica without it yet has no whole day.
        if self._days_since_s is None:
            ((self._days_since_s,),) = self.query(SINCE_SQL)
        return LATEST_S if self._days_since_s is None else self._days_since_s

    def stream(self, statement: Statement, *, form: StreamFormat) -> Generator[bytes, None, None]:
        """Yield a SELECT's rows as bytes of a file in the engine's `form`, in constant memory.

        The query begins with the first `next`. `close` of the generator ends the query. The generator raises like
        `query`, also after it has yielded bytes: the file is whole only if the generator ends without an error. A CSV
        has no heading, and its last column must be a String.
        """
        if self.address.path is not None:
            if not self._opened:
                raise StoreUnavailable(self._why_not_open)
            return stream_from_engine(self.address.path, self.database, statement, form)
        return self._stream_from_hosts(statement, form)

    def command(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Run one statement that returns no rows. The statement is sent once: the caller handles a lost response."""
        self._call(
            lambda client: client.command(sql, parameters=dict(parameters or {}), settings=dict(settings or {})),
            repeats=False,
        )
        self._fed = {}  # the statement may have created a table or a view

    def end_queries(self, comment: str) -> None:
        """End the running statements whose setting `log_comment` is `comment`; their calls raise StoreUnavailable."""
        on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
        sql = _END_QUERIES.format(on_cluster=on_cluster)
        self._call(lambda client: client.command(sql, parameters={"comment": comment}), repeats=True)

    def query_each_host(self, sql: str, parameters: Mapping[str, object]) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of one SELECT from every host of the URL that answers, by host and port.

        The statement names the database of its tables.
        """
        rows = {}
        for host in self.address.each():
            with contextlib.suppress(StoreUnavailable):
                client = self._connect(host, None)
                try:
                    rows[host.place] = [tuple(row) for row in client.query(sql, dict(parameters)).result_rows]
                except Exception as error:
                    raise self._mapped(error, host) from error
                finally:
                    client.close()
        return rows

    @contextlib.contextmanager
    def inserts_held(self) -> Iterator[None]:
        """Hold all inserts into an embedded store until the block ends. With a server it does nothing.

        Use it around every other statement that makes parts in `events` or in a rollup. Otherwise the next start,
        when it undoes an insert, would also remove these parts.
        """
        with self._intents.hold() if self._intents is not None else contextlib.nullcontext():
            yield

    def moment(self) -> int | None:
        """Return a number, another one after each change of the events in an embedded store.

        None while an insert shows its rows, and with a server.
        """
        return self._intents.moment() if self._intents is not None else None

    @contextlib.contextmanager
    def between_inserts(self) -> Iterator[None]:
        """Let all queries of the block see the same events: inserts into an embedded store wait until it ends.

        An insert waits for `intent.READING_S` at most. The block begins when the insert under way has ended. With a
        server it does nothing.
        """
        with self._intents.reading() if self._intents is not None else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def inserts_wait(self) -> Iterator[None]:
        """Let an insert into an embedded store that has not begun wait until the block ends.

        It waits for `intent.READING_S` at most. The block waits for nothing. With a server it does nothing.
        """
        with self._intents.delaying() if self._intents is not None else contextlib.nullcontext():
            yield

    def at_one_moment(self, read: Callable[[], T]) -> T:
        """Return what `read` returns. In an embedded store, all of its queries see the same events.

        At first no insert waits, and `read` waits for none. If an insert showed rows meanwhile, `read` is called
        again between inserts. It is called MOST_READS times at most: inserts and readings may take longer than
        `between_inserts` waits.
        """
        before = self.moment()
        result = read()
        for _ in range(MOST_READS - 1):
            if self._intents is None or (before is not None and before == self.moment()):
                break
            with self.between_inserts():
                before = self.moment()
                result = read()
        return result

    def insert_rows(self, token: str, body: bytes | memoryview) -> None:
        """Insert rows into `events`, exactly once per token: repeated calls with the same bytes change nothing.

        `body` is a sequence of Native blocks. A block names its columns, and a missing column takes the table's
        default. Raises StoreUnavailable when the outcome is unknown or the store is away (call again with the same
        token and bytes), StoreRejected when the store will never accept the bytes.
        """
        failed = self._failed_inserts
        try:
            attempts = self._insert(token, body, EVENTS)
            if attempts > 1 or self._marked_failures < failed:
                # An attempt that failed may have stored the events, and this one their rollups.
                mark_changed(self)
                self._marked_failures = failed
        except StoreError:
            self._failed_inserts += 1
            raise

    def insert_sender_reports(self, token: str, body: bytes) -> None:
        """Insert blocks of SENDER_COLUMNS into `sender_reports`, with the promises of `insert_rows`."""
        self._insert(token, body, SENDER_REPORTS)

    def insert_blocks(self, table: str, token: str, body: bytes) -> None:
        """Insert blocks into any table, with the promises of `insert_rows`."""
        self._insert(token, body, table)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking call in the store's thread pool, whose size is bounded."""
        return await self._submit(self._executor, function, *args)

    async def run_reserved(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking call in a thread that queries never occupy: for inserts and accounts."""
        return await self._submit(self._reserved, function, *args)

    async def _submit(self, executor: ThreadPoolExecutor | None, function: Callable[..., T], *args: object) -> T:
        if executor is None:
            raise StoreUnavailable(self._why_not_open)
        return await asyncio.get_running_loop().run_in_executor(executor, function, *args)

    def _insert(self, token: str, body: bytes | memoryview, table: str) -> int:
        """Insert the rows, and return how many hosts were asked to."""
        attempts = 0

        def insert(client: Client) -> None:
            nonlocal attempts
            attempts += 1
            on_cluster = self.cluster is not None
            with sending_patiently(client, self._receive_timeout_s):
                insert_into(client, table, token, body, directory=self.address.path, on_cluster=on_cluster)

        with self._intent_of(table):
            # The token makes a repetition safe: through any node of the cluster it reaches the same shards.
            self._call(insert, repeats=True, inserting=True)
        return attempts

    def _intent_of(self, table: str) -> contextlib.AbstractContextManager[None]:
        if self._intents is None:
            return contextlib.nullcontext()
        fed = self._fed
        if table not in fed:
            rows = self.query(_TABLES, {"database": self.database})
            fed[table] = fed_tables([(name, views, paths) for name, views, paths in rows], table)
        return self._intents.insert(fed[table], of_events=table == EVENTS)

    def _call(self, function: Callable[[Client], T], *, repeats: bool, inserting: bool = False) -> T:
        """Return what `function` returns with a client of the first host that answers.

        `repeats` says whether a call that may have run at one host may run at the next.
        """
        *others, last = self.hosts.in_order()
        for host in others:
            try:
                return self._at(host, function, inserting=inserting)
            except StoreUnavailable as error:
                if not may_go_on(error, repeats=repeats):
                    raise
        return self._at(last, function, inserting=inserting)

    def _at(self, host: StoreAddress, function: Callable[[Client], T], *, inserting: bool = False) -> T:
        client = self._client_of(host)
        try:
            result = function(client)
        except Exception as error:
            if self.embedded:
                # After a result that broke off, chDB may give its rest to the client's next statement.
                client.close()
            else:
                self._give_back(client)
            raise self._mapped(error, host, inserting=inserting) from error
        self._give_back(client)
        self.hosts.answered(host)
        return result

    def _mapped(self, error: Exception, host: StoreAddress, *, inserting: bool = False) -> StoreError:
        """Return the store's exception, after the host was left out where its connection failed."""
        mapped = map_error(error, inserting=inserting)
        if isinstance(mapped, StoreUnavailable) and mapped.code is None:
            self.hosts.failed(host)
        return mapped

    def _client_of(self, host: StoreAddress) -> Client:
        with self._lock:
            if not self._opened:
                raise StoreUnavailable(self._why_not_open)
            for client in reversed(self._idle):
                if self.embedded or client.uri == host.uri:
                    self._idle.remove(client)
                    return client
        return self._connect(host, self.database)

    def _give_back(self, client: Client) -> None:
        with self._lock:
            if self._opened and len(self._idle) < 2 * self.threads + SERVICE_THREADS + RESERVED_THREADS:
                self._idle.append(client)
                return
        client.close()

    def _stream_from_hosts(self, statement: Statement, form: StreamFormat) -> Generator[bytes, None, None]:
        """Yield the file of the first host that answers; a file that has begun is not begun again."""
        *others, last = self.hosts.in_order()
        for host in (*others, last):
            has_begun = False
            try:
                for piece in stream_from_server(self._connect(host, self.database), statement, form):
                    has_begun = True
                    yield piece
            except StoreUnavailable as error:
                if has_begun or host is last or not may_go_on(error, repeats=True):
                    raise
            else:
                return

    def _open_first_client(self) -> None:
        """Open a client of the first host that answers, and create the database if it is missing."""
        *others, last = self.hosts.in_order()
        for host in (*others, last):
            try:
                first = self._first_client(host)
            except StoreUnavailable:
                if host is last:
                    raise
            else:
                if self.embedded:
                    self._kept_open = first
                else:
                    self._idle.append(first)
                return

    def _first_client(self, host: StoreAddress) -> Client:
        """Return a client of the database, and create the database if it is missing."""
        client = self._connect(host, None)
        try:
            ((databases,),) = client.query(
                "SELECT count() FROM system.databases WHERE name = {database:String}",
                parameters={"database": self.database},
            ).result_rows
            if not databases:
                on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
                client.command(f"CREATE DATABASE IF NOT EXISTS `{self.database}`{on_cluster}")
        except Exception as error:
            client.close()
            raise self._mapped(error, host) from error
        client.database = self.database
        return client

    def _connect(self, host: StoreAddress, database: str | None) -> Client:
        try:
            if self.embedded:
                return embedded_client(host, database, self._backups)
            return http_client(host, database, self._receive_timeout_s)
        except Exception as error:
            mapped = self._mapped(error, host)
            if isinstance(mapped, StoreUnavailable):
                mapped.was_sent = False
            raise mapped from error

    def _answers(self, host: StoreAddress) -> bool:
        """Return whether a host that was away takes statements again."""
        try:
            http_client(host, self.database, _ASK_AGAIN_TIMEOUT_S).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the host is not used
            logger.debug("the store's host %s is still away: %s", host.place, map_error(error, inserting=False))
            return False
        return True

    def _release(self) -> None:
        self.hosts.close()
        with self._lock:
            clients, self._idle = self._idle, []
        if self._kept_open is not None:
            clients.append(self._kept_open)
            self._kept_open = None
        for client in clients:
            client.close()
        if self._intents is not None:
            self._intents.close()
            self._intents = None
        if self._ownership is not None:
            self._ownership.release()
            self._ownership = None


def _table_of(keys: Sequence[bytes]) -> ExternalData:
    """Return keys as a table that is sent with a statement: parameters stand in the URL, which has little room."""
    return ExternalData(file_name="keys", fmt="RowBinary", structure="key FixedString(16)", data=b"".join(keys))
