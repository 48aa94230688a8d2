"""Insert rows exactly once per token, and let a reader of an embedded store see one moment between the inserts.

An insert with a token may be repeated, at another host too: the tables remember the tokens (`events`). On a cluster
the token decides which shard gets all events of an insert. If a key divided them, each shard would make rollup rows
for its part, and two shards would take hardly more than one.

In an embedded store each insert has an intent (`embedded.intent`), and readers and inserts wait for each other, for a
moment only.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final, TypeVar

from clickhouse_connect.driver.client import Client

from apimetry.store.address import StoreAddress
from apimetry.store.client_pool import ClientPool
from apimetry.store.connections import sending_patiently
from apimetry.store.embedded.intent import Intents, fed_tables
from apimetry.store.errors import StoreError
from apimetry.store.events import EVENTS, insert_into
from apimetry.store.limits import query_settings

T = TypeVar("T")

# Readings at most, until one is of one moment.
MOST_READS: Final = 3

_TABLES: Final = (
    "SELECT name, dependencies_table, data_paths FROM system.tables WHERE database = {database:String} ORDER BY name"
)
_SHARDS: Final = """SELECT shard_num, max(shard_weight)
FROM system.clusters WHERE cluster = {cluster:String} GROUP BY shard_num ORDER BY shard_num"""


class Inserts:
    """The inserts of one store; any thread may use them.

    Mutable state: `_intents`, which `open` and `close` replace; `_shards`, once they are read; `_fed` (the
    directories that an insert into a table fills), replaced as a whole; `_failures` and `_marked_failures`, which
    inserting threads write.
    """

    def __init__(
        self, pool: ClientPool, address: StoreAddress, *, cluster: str | None, mark_changed: Callable[[], None]
    ) -> None:
        """`mark_changed` writes that any event may have changed."""
        self._pool: Final = pool
        self._address: Final = address
        self._cluster: Final = cluster
        self._mark_changed: Final = mark_changed
        self._intents: Intents | None = None
        self._shards: list[int] = []
        self._fed: dict[str, list[Path]] = {}
        # The first insert of a process may repeat one that another process began.
        self._failures = 1
        self._marked_failures = 0

    def open(self, directory: Path) -> None:
        """Keep the intents of the embedded store in `directory`, which this process owns."""
        self._intents = Intents(directory)

    def close(self) -> None:
        """Close the file of the intents."""
        if self._intents is not None:
            self._intents.close()
            self._intents = None

    def insert_events(self, token: str, body: bytes | memoryview) -> None:
        """Insert blocks into `events`, like `insert`; write that events changed where an attempt may have failed."""
        failures = self._failures
        try:
            attempts = self.insert(EVENTS, token, body)
            if attempts > 1 or self._marked_failures < failures:
                # An attempt that failed may have stored the events, and this one their rollups.
                self._mark_changed()
                self._marked_failures = failures
        except StoreError:
            self._failures += 1
            raise

    def insert(self, table: str, token: str, body: bytes | memoryview) -> int:
        """Insert blocks into a table once per token, and return how many hosts were asked to."""
        attempts = 0

        def insert(client: Client) -> None:
            nonlocal attempts
            attempts += 1
            shard = self._shard_of(client, token) if table == EVENTS and self._cluster is not None else None
            is_clustered = self._cluster is not None
            with sending_patiently(client, self._pool.receive_timeout_s):
                insert_into(
                    client, table, token, body, directory=self._address.path, on_cluster=is_clustered, shard=shard
                )

        with self._intent_of(table):
            # The token makes a repetition safe: through any node of the cluster it reaches the same shards.
            self._pool.call(insert, repeats=True, inserting=True)
        return attempts

    def forget_tables(self) -> None:
        """Read anew which tables an insert fills: one was created or dropped."""
        self._fed = {}

    def moment(self) -> int | None:
        """Return a number, another one after each change of the events in an embedded store.

        None while an insert shows its rows, and with a server.
        """
        return self._intents.moment() if self._intents is not None else None

    @property
    def holds(self) -> int:
        """Return how many times `held` has held the inserts into an embedded store."""
        return self._intents.holds if self._intents is not None else 0

    def held(self) -> AbstractContextManager[None]:
        """Return a block that holds all inserts into an embedded store. With a server it does nothing.

        Use it around every other statement that makes parts in `events` or in a rollup. Otherwise the next start,
        when it undoes an insert, would also remove these parts.
        """
        return self._intents.hold() if self._intents is not None else nullcontext()

    def paused(self) -> AbstractContextManager[None]:
        """Return a block whose queries all see the same events: inserts into an embedded store wait until it ends.

        An insert waits for `intent.READING_S` at most. The block begins when the insert under way has ended. With a
        server it does nothing.
        """
        return self._intents.reading() if self._intents is not None else nullcontext()

    def delayed(self) -> AbstractContextManager[None]:
        """Return a block until whose end an insert into an embedded store does not begin.

        The insert waits for `intent.READING_S` at most. The block waits for nothing. With a server it does nothing.
        """
        return self._intents.delaying() if self._intents is not None else nullcontext()

    def at_one_moment(self, read: Callable[[], T]) -> T:
        """Return what `read` returns. In an embedded store, all of its queries see the same events.

        At first no insert waits, and `read` waits for none. If an insert showed rows meanwhile, `read` is called
        again between inserts. It is called MOST_READS times at most: inserts and readings may take longer than
        `paused` waits.
        """
        intents = self._intents
        if intents is None:
            return read()
        before = intents.moment()
        result = read()
        for _ in range(MOST_READS - 1):
            if before is not None and before == intents.moment():
                break
            with self.paused():
                before = intents.moment()
                result = read()
        return result

    def _intent_of(self, table: str) -> AbstractContextManager[None]:
        if self._intents is None:
            return nullcontext()
        fed = self._fed
        if table not in fed:
            rows = self._pool.call(self._read_tables, repeats=True)
            fed[table] = fed_tables(rows, table)
        return self._intents.insert(fed[table], of_events=table == EVENTS)

    def _shard_of(self, client: Client, token: str) -> int:
        """Return the number of the shard that gets the events of a token, by the weights of the shards.

        A process reads the shards once: a shard that is added meanwhile must not move the tokens of its retries.
        """
        if not self._shards:
            parameters = {"cluster": self._cluster}
            rows = client.query(_SHARDS, parameters=parameters, settings=query_settings(None)).result_rows
            self._shards = [number for number, weight in rows for _ in range(weight)]
        return self._shards[zlib.crc32(token.encode()) % len(self._shards)]

    def _read_tables(self, client: Client) -> list[tuple[str, list[str], list[str]]]:
        parameters = {"database": self._address.database}
        rows = client.query(_TABLES, parameters=parameters, settings=query_settings(None)).result_rows
        return [(name, views, paths) for name, views, paths in rows]
