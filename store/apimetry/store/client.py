"""Run queries, commands and inserts in ClickHouse, in this process or over HTTP. The whole store uses this module.

`client_pool` lends clients and chooses the host, `inserts` makes an insert exactly once, `errors` maps exceptions.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.external import ExternalData

from apimetry.store.address import StoreAddress, StoreAddressError, checked_cluster, parse_address
from apimetry.store.changes import mark_changed
from apimetry.store.client_pool import ClientPool
from apimetry.store.embedded.opening import prepare_directory
from apimetry.store.embedded.ownership import Ownership
from apimetry.store.errors import StoreUnavailable
from apimetry.store.hosts import Hosts
from apimetry.store.inserts import Inserts
from apimetry.store.limits import query_settings, statement_settings
from apimetry.store.rollups import LATEST_S, MINUTES_SINCE_SQL, SINCE_SQL
from apimetry.store.senders import SENDER_REPORTS
from apimetry.store.statement import Statement
from apimetry.store.streaming import StreamFormat, stream_from_engine, stream_from_server

T = TypeVar("T")

# The longest silence on a connection, and so the longest time that a hanging server can delay `close`. A long query
# is not silent: ClickHouse sends progress headers every 55 s.
RECEIVE_TIMEOUT_S: Final = 60
# Threads for calls that must not wait behind queries: inserts, and reads of the accounts for authentication.
RESERVED_THREADS: Final = 2
# Threads of `run` in addition to `threads`: alert rules are evaluated while clients' queries occupy all `threads`.
SERVICE_THREADS: Final = 1

# A statement is identified by its comment: an id would have to be new for every statement.
_END_QUERIES: Final = "KILL QUERY{on_cluster} WHERE Settings['log_comment'] = {{comment:String}} ASYNC"

_SINCE: Final = {"days_since_s": SINCE_SQL, "minutes_since_s": MINUTES_SINCE_SQL}


class Store:
    """ClickHouse, embedded (`chdb:///path`) or over HTTP: blocking calls from any thread, `run` for asyncio.

    The constructor parses the URL and does not connect. Mutable state: the pools and `_ownership`, which `open` makes
    and `close` takes away; `_since_s`, replaced as a whole; `_revision`, under `_lock`.
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
        """Let an embedded engine write and read backups in the folder `backups` alone."""
        self.address: Final[StoreAddress] = parse_address(url)
        self.cluster: Final = checked_cluster(cluster)
        self.threads: Final = threads
        if self.address.more_hosts and self.cluster is None:
            raise StoreAddressError(
                "the store's URL names several hosts and there is no cluster: each server would hold a part of the"
                " events. Name the hosts' cluster with --cluster (APIMETRY_CLUSTER)"
            )
        # As many again run long queries, which gave their slots to others.
        self._query_threads: Final = 2 * threads + SERVICE_THREADS
        self._pool: Final = ClientPool(
            self.address,
            cluster=self.cluster,
            most_idle=self._query_threads + RESERVED_THREADS,
            receive_timeout_s=receive_timeout_s,
            backups=backups,
        )
        self.inserts: Final = Inserts(
            self._pool, self.address, cluster=self.cluster, mark_changed=partial(mark_changed, self)
        )
        self._ownership: Ownership | None = None
        self._since_s: dict[str, int | None] = {}
        self._lock: Final = threading.Lock()
        self._revision = 0
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

    @property
    def hosts(self) -> Hosts:
        """Return the hosts of the store's URL."""
        return self._pool.hosts

    def open(self) -> None:
        """Connect, and create the database if it is missing; harmless when repeated.

        Raises StoreLocked when another process owns the embedded store, StoreUnavailable when the server is away.
        """
        if self._pool.is_open:
            return
        try:
            if self.address.path is not None:
                self._ownership = prepare_directory(self.address.path)
                self.inserts.open(self.address.path)
            self._pool.open()
        except BaseException:
            self._release()
            raise
        self._executor = ThreadPoolExecutor(self._query_threads, "apimetry-store")
        self._reserved = ThreadPoolExecutor(RESERVED_THREADS, "apimetry-store-reserved")

    def close(self) -> None:
        """Wait for running calls, close every client and release the embedded store; harmless when repeated."""
        self._pool.refuse_calls("the store is closed")
        for executor in (self._executor, self._reserved):
            if executor is not None:
                executor.shutdown(wait=True, cancel_futures=True)
        self._executor = self._reserved = None
        self.hosts.close()
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

        return self._pool.call(rows, repeats=True)

    def ask(self, statement: Statement, *, settings: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, like `query`, with the statement's own settings as well.

        The statement may name the values `days_since_s:UInt32` and `minutes_since_s:UInt32`, from which on the
        rollups' rows per day and per minute are whole.
        """
        parameters = dict(statement.parameters)
        for name, sql in _SINCE.items():
            if f"{{{name}:UInt32}}" in statement.sql:
                parameters[name] = self._since(sql)
        return self.query(statement.sql, parameters, settings=statement_settings(settings, statement))

    def _since(self, sql: str) -> int:
        # Only a migration changes it, and services start after it. A replica without it yet has no whole rows.
        since = self._since_s.get(sql)
        if since is None:
            ((since,),) = self.query(sql)
            self._since_s = {**self._since_s, sql: since}
        return LATEST_S if since is None else since

    def stream(self, statement: Statement, *, form: StreamFormat) -> Generator[bytes, None, None]:
        """Yield a SELECT's rows as bytes of a file in the engine's `form`, in constant memory.

        The query begins with the first `next`. `close` of the generator ends the query. The generator raises like
        `query`, also after it has yielded bytes: the file is whole only if the generator ends without an error. A CSV
        has no heading, and its last column must be a String.
        """
        if self.address.path is not None:
            self._pool.check_open()
            return stream_from_engine(self.address.path, self.database, statement, form)
        return self._pool.stream(partial(stream_from_server, statement=statement, form=form))

    def command(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Run one statement that returns no rows. The statement is sent once: the caller handles a lost response."""
        try:
            self._pool.call(
                lambda client: client.command(sql, parameters=dict(parameters or {}), settings=dict(settings or {})),
                repeats=False,
            )
        finally:
            # Also a statement that failed may have written rows, or created a table or a view.
            self.inserts.forget_tables()
            with self._lock:
                self._revision += 1

    def revision(self) -> int | None:
        """Return a number, another one after each `command`: an embedded store's small tables change by no other way.

        None with a server, where other processes write too.
        """
        return self._revision if self.embedded else None

    def end_queries(self, comment: str) -> None:
        """End the running statements whose setting `log_comment` is `comment`; their calls raise StoreUnavailable."""
        on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
        sql = _END_QUERIES.format(on_cluster=on_cluster)
        self._pool.call(lambda client: client.command(sql, parameters={"comment": comment}), repeats=True)

    def query_each_host(self, sql: str, parameters: Mapping[str, object]) -> dict[str, list[tuple[Any, ...]]]:
        """Return the rows of one SELECT from every host of the URL that answers, by host and port.

        The statement names the database of its tables.
        """
        return self._pool.call_each_host(
            lambda client: [tuple(row) for row in client.query(sql, dict(parameters)).result_rows]
        )

    def insert_rows(self, token: str, body: bytes | memoryview) -> None:
        """Insert rows into `events`, exactly once per token: repeated calls with the same bytes change nothing.

        `body` is a sequence of Native blocks. A block names its columns, and a missing column takes the table's
        default. Raises StoreUnavailable when the outcome is unknown or the store is away (call again with the same
        token and bytes), StoreRejected when the store will never accept the bytes.
        """
        self.inserts.insert_events(token, body)

    def insert_sender_reports(self, token: str, body: bytes) -> None:
        """Insert blocks of SENDER_COLUMNS into `sender_reports`, with the promises of `insert_rows`."""
        self.inserts.insert(SENDER_REPORTS, token, body)

    def insert_blocks(self, table: str, token: str, body: bytes) -> None:
        """Insert blocks into any table, with the promises of `insert_rows`."""
        self.inserts.insert(table, token, body)

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking call in the store's thread pool, whose size is bounded."""
        return await self._submit(self._executor, function, *args)

    async def run_reserved(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking call in a thread that queries never occupy: for inserts and accounts."""
        return await self._submit(self._reserved, function, *args)

    async def _submit(self, executor: ThreadPoolExecutor | None, function: Callable[..., T], *args: object) -> T:
        if executor is None:
            self._pool.check_open()
            raise StoreUnavailable("the store is being opened")
        return await asyncio.get_running_loop().run_in_executor(executor, function, *args)

    def _release(self) -> None:
        self._pool.close_clients()
        self.inserts.close()
        if self._ownership is not None:
            self._ownership.release()
            self._ownership = None


def _table_of(keys: Sequence[bytes]) -> ExternalData:
    """Return keys as a table that is sent with a statement: parameters stand in the URL, which has little room."""
    return ExternalData(file_name="keys", fmt="RowBinary", structure="key FixedString(16)", data=b"".join(keys))
