"""Runs questions in the store's threads: no more at once, and none larger, than the settings allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from apimetry.query_api.settings import QuerySettings
from apimetry.serving.errors import BadRequest, Unavailable
from apimetry.store.client import Store
from apimetry.store.errors import QueryLimitExceeded, StoreError

T = TypeVar("T")

# About as long as a thread of the store is busy with a heavy question.
_RETRY_AFTER_S = 2


class _Waiting:
    """A question that has not begun; `askers` wait for its answer. Touched on the event loop alone."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.askers = 0


class Engine:
    """The store, as the handlers see it.

    Mutable state: `under_way`, touched on the event loop alone, and `_waiting`, from which a question's thread takes
    it as it begins.
    """

    def __init__(self, store: Store, settings: QuerySettings) -> None:
        self._store = store
        self._settings = settings
        self._statement_settings: dict[str, object] = {
            "max_execution_time": settings.max_query_time_s,
            "max_memory_usage": settings.max_query_memory_bytes,
        }
        self.under_way = 0
        self._waiting: dict[tuple[object, ...], _Waiting] = {}

    async def answer(self, question: Callable[..., T], *args: object) -> T:
        """Return `question(*args)`, run in a thread of the store.

        Raises:
            Unavailable: too many questions are under way.
            BadRequest: the engine stopped a statement at a limit.
        """
        if self.under_way >= self._settings.max_waiting_queries:
            raise Unavailable(
                f"{self.under_way} questions are waiting already, as many as are allowed",
                retry_after_s=_RETRY_AFTER_S,
            )
        self.under_way += 1
        try:
            return await self._store.run(question, *args)
        except QueryLimitExceeded as error:
            # The same question would end the same way: a 503 would have it asked again and again.
            raise BadRequest(
                f"The question needs more than {self._settings.max_query_time_s:g} s or"
                f" {self._settings.max_query_memory_bytes // 1024**2} MiB to answer: ask for a shorter range,"
                " a coarser granularity, or fewer groups"
            ) from error
        finally:
            self.under_way -= 1

    async def answer_once(self, question: Callable[..., T], *args: object) -> T:
        """As `answer`, but who asks the same while it waits for a thread gets the same answer.

        Each answer is read after it was asked for: a question that has begun is begun again for the next who asks.
        When all who asked have left, it does not begin.
        """
        key = (question, *args)
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Waiting()
            waiting.task = asyncio.ensure_future(self.answer(self._begin, key, waiting))
            waiting.task.add_done_callback(lambda _: self._forget(key, waiting))
        task = cast("asyncio.Task[T]", waiting.task)
        waiting.askers += 1
        try:
            return await asyncio.shield(task)
        finally:
            waiting.askers -= 1
            if not waiting.askers:
                self._forget(key, waiting)
                task.cancel()

    def _begin(self, key: tuple[Callable[..., T], Any], waiting: _Waiting) -> T:
        self._forget(key, waiting)
        question, *args = key
        return question(*args)

    def _forget(self, key: tuple[object, ...], waiting: _Waiting) -> None:
        # Its thread and the event loop may come here at once: whoever is second finds it gone.
        if self._waiting.get(key) is waiting:
            self._waiting.pop(key, None)

    def ask(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, within the limits; blocks, so it is for `answer`'s threads.

        Raises:
            QueryLimitExceeded: it needed more time or memory than it may have.
            StoreUnavailable: the store is away.
        """
        return self._store.query(sql, parameters, settings=self._statement_settings)

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
