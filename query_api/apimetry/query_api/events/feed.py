"""Poll the store for the new events of one application, for all its live streams together.

A feed polls while it has streams. After its last stream it keeps what it knows for `look_back_s`: a client that comes
back gets the events of the time between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from apimetry.query_api.engine import Engine
from apimetry.query_api.events.batches import Batch, batches_after, newest_within
from apimetry.query_api.events.news import Memory, News, read_news
from apimetry.query_api.events.positions import Position
from apimetry.query_api.events.search import SECOND_US
from apimetry.query_api.queueing.askers import Client, ClientLeft
from apimetry.query_api.settings import LiveLimits
from apimetry.serving.errors import APIError
from apimetry.serving.repeats import RepeatedLine
from apimetry.store.errors import StoreError
from apimetry.store.statement import Ask

logger = logging.getLogger(__name__)

# A sender's clock may run ahead of this one.
_AHEAD_S = 5


class Reader(Protocol):
    """A live stream, as its feed knows it."""

    @property
    def client(self) -> Client:
        """Return the client of the stream."""

    def take(self, batch: Batch) -> None:
        """Take the events of a poll."""


class Feed:
    """The new events of one application. `clock` returns seconds since the epoch.

    Mutable state, used on the event loop alone: the number of users, some of which may wait for the first poll, the
    readers among them, what the last poll left, the last batches and the size that they may have, and the task that
    polls.
    """

    def __init__(self, application: str, engine: Engine, clock: Callable[[], float], limits: LiveLimits) -> None:
        self._application = application
        self._engine = engine
        self._clock = clock
        self._limits = limits
        self._users = 0
        self._readers: dict[Reader, None] = {}
        self._memory = Memory()
        self._batches: deque[Batch] = deque()
        self._kept_bytes = limits.kept_bytes
        self._polled_s = clock() - limits.look_back_s
        self._lock = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None
        self._failures = RepeatedLine(logger, "%d polls for live streams failed: %s")

    @property
    def is_read(self) -> bool:
        """Return whether at least one stream reads."""
        return self._users > 0

    @property
    def is_idle(self) -> bool:
        """Return whether nobody reads, and what the feed knows is too old for a client that comes back."""
        return not self._users and self._clock() - self._polled_s >= self._limits.look_back_s

    def hold_to(self, kept_bytes: int) -> None:
        """Keep at most so many bytes of events for clients that come back, from now on."""
        self._kept_bytes = kept_bytes
        self._drop_the_oldest()

    @contextlib.asynccontextmanager
    async def read_by(self, reader: Reader, last: Position | None) -> AsyncIterator[None]:
        """Give the reader all events that come within the block, and those that came after the event before `last`.

        Raises:
            StoreUnavailable, Unavailable, ClientLeft: the first poll failed.
        """
        self._users += 1
        try:
            if not self._readers:
                # What came before the block is not new to the reader.
                await self.poll(reader.client)
            for batch in batches_after(self._batches, last) if last else ():
                reader.take(batch)
            self._readers[reader] = None
            if self._polling is None:
                self._polling = asyncio.create_task(self._poll_for_ever(), name="apimetry-live")
            yield
        finally:
            self._users -= 1
            self._readers.pop(reader, None)
            if not self._readers:
                await self._stop()

    async def poll(self, client: Client) -> None:
        """Read the new events once, in the turn of `client`, and give them to the readers."""
        async with self._lock:
            now_s = self._clock()
            span_us = (int(now_s - self._limits.look_back_s) * SECOND_US, int(now_s + _AHEAD_S) * SECOND_US)
            news = await self._engine.run(client, self._read, span_us, self._memory)
            self._memory = news.memory
            batch = Batch(int(now_s), now_s - self._polled_s, news.events, news.total)
            self._polled_s = now_s
            if batch.events:
                self._keep(batch)
                for reader in self._readers:
                    reader.take(batch)

    def _read(self, ask: Ask, span_us: tuple[int, int], memory: Memory) -> News:
        return read_news(ask, self._application, span_us, memory, limits=self._limits)

    def _keep(self, batch: Batch) -> None:
        """Keep a batch for clients that come back, within the limits of time, number and size."""
        self._batches.append(newest_within(batch, self._kept_bytes))
        self._drop_the_oldest()

    def _drop_the_oldest(self) -> None:
        while self._batches and self._is_too_much():
            self._batches.popleft()

    def _is_too_much(self) -> bool:
        return (
            self._batches[0].second < self._batches[-1].second - self._limits.look_back_s
            or sum(len(batch.events) for batch in self._batches) > self._limits.rows
            or sum(batch.size for batch in self._batches) > self._kept_bytes
        )

    async def _poll_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._limits.poll_s)
            # The readers share the cost: each poll is in the turn of another one.
            reader = next(iter(self._readers))
            self._readers[reader] = self._readers.pop(reader)
            try:
                await self.poll(reader.client)
            except (StoreError, APIError) as error:
                self._failures.say(error)
            except ClientLeft:
                # The next poll is in the turn of another reader.
                continue
            except Exception:
                logger.exception("a poll for live streams failed")

    async def _stop(self) -> None:
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
