"""Run queries in the store's threads: in a fair order, and within the limits of the settings.

A query runs as `query(ask, *arguments)` in a thread, and runs its statements with `ask`. Queries that run at the same
time share the engine's threads: with fewer threads a statement takes less of the processor. If another asker has a
much smaller load, the statements get half of that, and a lower priority (ClickHouse's setting `priority`). An insert
into an embedded store gives way to queries for a moment.
When no client waits for a query any more, the query leaves the queue, or the engine ends its statement.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from apimetry.query_api.lost_shards import refusal_without
from apimetry.query_api.queueing.askers import Client, ClientLeft, until_left
from apimetry.query_api.queueing.fair_queue import Asker, FairQueue, Standing
from apimetry.query_api.remembering import About, Memory
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.errors import BadRequest
from apimetry.store.client import Store
from apimetry.store.cluster import lost_shards
from apimetry.store.errors import QueryLimitExceeded, StoreError, StoreUnavailable
from apimetry.store.statement import Ask, Rows, Statement

logger = logging.getLogger(__name__)

# While the store does not end statements, further ones end at their limits.
MAX_ENDING = 64
QUESTION_BYTES = 160_000
"""What a question that waits takes at most, with its request: a query string may have thousands of values."""

T = TypeVar("T")


@dataclass(eq=False)
class _Query:
    """A query in the queue or in a thread, and its waiting clients. Its thread reads only `abandoned`."""

    tag: str = field(default_factory=lambda: f"apimetry-{secrets.token_hex(8)}")
    clients: int = 0
    has_begun: bool = False
    abandoned: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class _Joinable:
    """A queued query and its task."""

    query: _Query
    task: asyncio.Task[Any]


class Engine:
    """Runs the handlers' queries in the store.

    Mutable state, used on the event loop alone: the queue, the queries that can be joined, and the tasks that end
    abandoned statements. Any thread may write `_threads`, always with the same value.
    """

    def __init__(self, store: Store, settings: QuerySettings) -> None:
        self._store = store
        self._settings = settings
        self._limits: dict[str, object] = {
            "max_execution_time": settings.max_query_time_s,
            "max_memory_usage": settings.max_query_memory_bytes,
            "max_result_bytes": settings.max_query_result_bytes,
        }
        self.queue = FairQueue(
            store.threads,
            max_waiting=settings.max_waiting_queries,
            max_wait_s=settings.max_queue_time_s,
            aside=store.threads,
        )
        self.memory = Memory(settings.remembered_bytes, store.inserts if store.embedded else None)
        self._joinable: dict[Hashable, _Joinable] = {}
        self._ending: set[asyncio.Future[None]] = set()
        self._threads: int | None = None

    async def run(self, client: Client, query: Callable[..., T], *args: object) -> T:
        """Run `query(ask, ...)` in a thread of the store, in its turn, and return its result.

        Raises:
            Unavailable: too many queries wait, this query waited too long, or shards of a cluster are lost.
            BadRequest: the engine stopped a statement at a limit.
            ClientLeft: the client left before the result.
        """
        work = _Query()
        task = asyncio.ensure_future(self._run(work, client.asker, lambda ask: query(ask, *args)))
        result: T = await self._wait(client, work, task)
        return result

    async def run_shared(
        self, client: Client, query: Callable[..., T], *args: object, about: About | None = None
    ) -> T:
        """Run a query as `run` does, or join a queued identical query of the same key. A running query is not shared.

        So every result was read after its request came, and no client waits in another key's queue. With `about`,
        statements take rows from memory that are still true (`remembering`).
        """
        key = (client.asker, query, *args)
        joined = self._joinable.get(key)
        if joined is None:
            work = _Query()

            def call(ask: Ask) -> T:
                if about is not None and self._store.cluster is None:
                    ask = self.memory.recall((query, *args), about, ask, time.time())
                return query(ask, *args)

            run = self._run(work, client.asker, call, key)
            joined = self._joinable[key] = _Joinable(work, asyncio.ensure_future(run))
        result: T = await self._wait(client, joined.query, joined.task, key)
        return result

    async def _wait(self, client: Client, query: _Query, task: asyncio.Task[Any], key: Hashable = None) -> Any:  # noqa: ANN401 - the callers know the type
        query.clients += 1
        try:
            return await until_left(client, task)
        except ClientLeft:
            self.queue.left += 1
            raise
        finally:
            query.clients -= 1
            if not query.clients and not task.done():
                self._abandon(query, task, key)

    def _abandon(self, query: _Query, task: asyncio.Task[Any], key: Hashable) -> None:
        self._forget(key, query)
        task.add_done_callback(_read_result)
        if not query.has_begun:
            task.cancel()
            return
        # The query keeps its slot until its thread is free.
        query.abandoned.set()
        if len(self._ending) >= MAX_ENDING:
            return
        ending = asyncio.ensure_future(self._end_statements(query))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end_statements(self, query: _Query) -> None:
        try:
            await self._store.run_reserved(self._store.end_queries, query.tag)
        except StoreError as error:
            logger.warning("a query that nobody waits for could not be ended: %s", error)

    async def _run(self, query: _Query, asker: Asker, call: Callable[[Ask], T], key: Hashable = None) -> T:
        try:
            async with self.queue.slot(asker) as standing:
                query.has_begun = True
                self._forget(key, query)
                return await self._store.run(self._call, call, self._ask_of(query, standing))
        except QueryLimitExceeded as error:
            # No 503: clients would send the query again, and it would stop at the same limit.
            raise BadRequest(
                f"The question needs more than {self._settings.max_query_time_s:g} s or"
                f" {self._settings.max_query_memory_bytes // 1024**2} MiB to answer, or its rows have more than"
                f" {self._settings.max_query_result_bytes // 1024**2} MiB: ask for a shorter range,"
                " a coarser granularity, or fewer groups"
            ) from error
        except StoreUnavailable as error:
            raise await self._naming_shards(error) from error
        finally:
            self._forget(key, query)

    async def _naming_shards(self, error: StoreUnavailable) -> Exception:
        """Return an error that names the shards of a cluster that are lost; `error` where none is."""
        if self._store.cluster is None:
            return error
        try:
            missing = await self._store.run_reserved(self.lost_shards)
        except StoreError:
            return error
        return refusal_without(missing) if missing else error

    def _call(self, call: Callable[[Ask], T], ask: Ask) -> T:
        with self._store.inserts.delayed():
            return call(ask)

    def _forget(self, key: Hashable, query: _Query) -> None:
        joinable = self._joinable.get(key)
        if joinable is not None and joinable.query is query:
            del self._joinable[key]

    def _ask_of(self, query: _Query, standing: Standing) -> Ask:
        # 1 is the highest priority. 0 would be no priority.
        always = {**self._limits, "priority": 1 + standing.rank, "log_comment": query.tag}

        def ask(statement: Statement) -> Rows:
            if query.abandoned.is_set():
                raise ClientLeft
            settings = dict(always)
            parts = max(1, self.queue.running + self.queue.aside) * (2 if standing.is_heavier else 1)
            if parts > 1:
                settings["max_threads"] = max(1, self._all_threads() // parts)
            return self._store.ask(statement, settings=settings)

        return ask

    def _all_threads(self) -> int:
        """Return how many threads a statement has by default; the engine is asked once."""
        if self._threads is None:
            ((self._threads,),) = self._store.query("SELECT getSetting('max_threads')")
        return self._threads

    def ask(self, statement: Statement) -> Rows:
        """Return the rows of one statement that no client waits for, within the limits; blocks.

        Raises:
            QueryLimitExceeded: the statement needed more time or memory than the limits allow.
            StoreUnavailable: the store is away.
        """
        return self._store.ask(statement, settings=self._limits)

    def lost_shards(self) -> list[int]:
        """Return the numbers of the cluster's shards that cannot be reached; blocks."""
        return lost_shards(self._store)

    def between_inserts(self) -> AbstractContextManager[None]:
        """Return a context that holds back inserts into an embedded store for a moment (`Inserts.paused`)."""
        return self._store.inserts.paused()

    def at_one_moment(self, read: Callable[[], T]) -> T:
        """Return what `read` returns, so that all of its statements see the same events (`Inserts.at_one_moment`)."""
        return self._store.inserts.at_one_moment(read)

    async def unready_reasons(self) -> list[str]:
        """Return why the service cannot answer queries now; empty if it can.

        The check has threads that queries never use: a busy service is ready.
        """
        limit_s = self._settings.max_ready_time_s
        try:
            await asyncio.wait_for(self._store.run_reserved(self._store.query, "SELECT 1"), limit_s)
        except StoreError as error:
            return [f"the store is not available: {error}"]
        except asyncio.TimeoutError:
            return [f"the store did not answer within {limit_s:g} s"]
        return []


def _read_result(task: asyncio.Future[Any]) -> None:
    """Read the exception of an abandoned task: asyncio logs an exception that nobody read."""
    if not task.cancelled():
        task.exception()
