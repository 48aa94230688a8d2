"""Runs queries in the store's threads: fairly, no more at once, and none larger, than the settings allow.

A query runs as `query(ask, *arguments)` in a thread, and asks its statements by `ask`. Beside an asker with a
much smaller load its statements get half of the engine's threads, and they give way to the other's (ClickHouse's
setting `priority`).
When nobody waits for a query any more, it leaves the queue, or the engine ends its statement.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from apimetry.query_api.queueing.askers import Client, ClientLeft, until_left
from apimetry.query_api.queueing.fair_queue import Asker, FairQueue, Standing
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.errors import BadRequest
from apimetry.store.client import Store
from apimetry.store.errors import QueryLimitExceeded, StoreError
from apimetry.store.statement import Ask, Rows, Statement

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(eq=False)
class _Query:
    """A query in the queue or in a thread, which `clients` wait for. Its thread reads `abandoned` alone."""

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
    """The store, as the handlers see it.

    Mutable state, touched on the event loop alone: the queue, the queries that can be joined, and the tasks that end
    abandoned statements. `_threads` is written in any thread, with the same value.
    """

    def __init__(self, store: Store, settings: QuerySettings) -> None:
        self._store = store
        self._settings = settings
        self._limits: dict[str, object] = {
            "max_execution_time": settings.max_query_time_s,
            "max_memory_usage": settings.max_query_memory_bytes,
        }
        self.queue = FairQueue(
            store.threads, max_waiting=settings.max_waiting_queries, max_wait_s=settings.max_queue_time_s
        )
        self._joinable: dict[Hashable, _Joinable] = {}
        self._ending: set[asyncio.Future[None]] = set()
        self._threads: int | None = None

    async def answer(self, client: Client, query: Callable[..., T], *args: object) -> T:
        """Return `query(ask, ...)`, run in a thread of the store when it is its turn.

        Raises:
            Unavailable: too many queries wait, or this one waited for too long.
            BadRequest: the engine stopped a statement at a limit.
            ClientLeft: nobody waits for the answer.
        """
        work = _Query()
        task = asyncio.ensure_future(self._run(work, client.asker, lambda ask: query(ask, *args)))
        result: T = await self._wait(client, work, task)
        return result

    async def answer_once(self, client: Client, query: Callable[..., T], *args: object) -> T:
        """As `answer`, but joins a queued identical query of the same key. A running query is not shared.

        So each answer is read after it was asked for, and nobody waits in another key's queue.
        """
        key = (client.asker, query, *args)
        joined = self._joinable.get(key)
        if joined is None:
            work = _Query()
            run = self._run(work, client.asker, lambda ask: query(ask, *args), key)
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
        # Its slot is held until its thread is free.
        query.abandoned.set()
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
                return await self._store.run(call, self._ask_of(query, standing))
        except QueryLimitExceeded as error:
            # The same query would end the same way: a 503 would have it asked again and again.
            raise BadRequest(
                f"The question needs more than {self._settings.max_query_time_s:g} s or"
                f" {self._settings.max_query_memory_bytes // 1024**2} MiB to answer: ask for a shorter range,"
                " a coarser granularity, or fewer groups"
            ) from error
        finally:
            self._forget(key, query)

    def _forget(self, key: Hashable, query: _Query) -> None:
        joinable = self._joinable.get(key)
        if joinable is not None and joinable.query is query:
            del self._joinable[key]

    def _ask_of(self, query: _Query, standing: Standing) -> Ask:
        # 1 is the highest priority of a statement that has one.
        settings = {**self._limits, "priority": 1 + standing.rank, "log_comment": query.tag}

        def ask(statement: Statement) -> Rows:
            if query.abandoned.is_set():
                raise ClientLeft
            if standing.is_heavier:
                settings["max_threads"] = self._half_of_threads()
            return self._store.ask(statement, settings=settings)

        return ask

    def _half_of_threads(self) -> int:
        """Return half of the threads that a statement has by itself; the engine is asked once."""
        if self._threads is None:
            ((self._threads,),) = self._store.query("SELECT getSetting('max_threads')")
        return max(1, self._threads // 2)

    def ask(self, statement: Statement) -> Rows:
        """Return the rows of one statement of the service's own, within the limits; blocks.

        Raises:
            QueryLimitExceeded: it needed more time or memory than it may have.
            StoreUnavailable: the store is away.
        """
        return self._store.ask(statement, settings=self._limits)

    def between_inserts(self) -> AbstractContextManager[None]:
        """Return what goes around statements whose answers should be about the same events; blocks, as `ask`."""
        return self._store.between_inserts()

    async def unready_reasons(self) -> list[str]:
        """Return why questions cannot be answered now; empty when they can.

        Asked in the threads that questions never occupy: a busy service is a ready one.
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
    """Take the outcome that nobody waits for: asyncio complains about one that was never read."""
    if not task.cancelled():
        task.exception()
