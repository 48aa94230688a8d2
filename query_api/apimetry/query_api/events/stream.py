"""One live stream: server-sent events for one client (the HTML standard, section 9.2)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec.json import encode

from apimetry.query_api.events.answer import stored_event
from apimetry.query_api.events.batches import PLACES, Batch, Event, choose
from apimetry.query_api.events.positions import event_id
from apimetry.query_api.planning.filter_matching import matcher
from apimetry.query_api.planning.filters import AnyFilter
from apimetry.query_api.queueing.askers import Client
from apimetry.query_api.settings import LiveLimits
from apimetry.serving.errors import APIError
from apimetry.store.errors import StoreError

Write = Callable[[bytes], Awaitable[None]]
Check = Callable[[], Awaitable[object]]

MAX_WAITING_BYTES: Final = 8 * 1024**2
"""Bytes that wait for one client. The oldest make room, and the client is told how many events it missed."""

MAX_PART_BYTES: Final = 1024**2
"""Bytes of the events of one poll for one client, unless one event alone is larger. The others are thinned out."""

BEGIN = b"retry: 2000\n\n"
_COMMENT = b":\n\n"


class TookTooLong(Exception):
    """The client took nothing for as long as it may."""


@dataclass(frozen=True)
class LiveQuery:
    """What one client wants to see."""

    filters: tuple[AnyFilter, ...]
    fields: tuple[str, ...]


class _Part(NamedTuple):
    """The messages of one poll, and the number of its events that pass the client's filters."""

    second: int
    matching: int
    text: bytes


class Stream:
    """The events for one client. `clock` returns seconds.

    `is_allowed` raises an APIError when the client may read no longer.
    Mutable state, used on the event loop alone: the parts to send, how many events
    were left out, the reason of the end, and the last comment.
    """

    def __init__(
        self,
        query: LiveQuery,
        client: Client,
        is_allowed: Check,
        *,
        clock: Callable[[], float],
        limits: LiveLimits,
    ) -> None:
        self.client = client
        self._fields = query.fields
        self._passes = matcher(query.filters, PLACES)
        self._is_allowed = is_allowed
        self._clock = clock
        self._limits = limits
        self._parts: deque[_Part] = deque()
        self._left_out = 0
        self._woken = asyncio.Event()
        self._end: str | None = None

    def take(self, batch: Batch) -> None:
        """Send a batch as soon as the client has taken what comes before it."""
        # The text, and not the batch: what waits is no larger than what is sent.
        part = self._part(batch)
        if not part.matching:
            return
        self._parts.append(part)
        while len(self._parts) > 1 and sum(len(part.text) for part in self._parts) > MAX_WAITING_BYTES:
            self._left_out += self._parts.popleft().matching
        self._woken.set()

    def end(self, reason: str) -> None:
        """End the stream, and tell the client why."""
        self._end = self._end or reason
        self._woken.set()

    async def send(self, write: Write) -> None:
        """Send events until the stream ends, or until the client has left.

        Raises:
            TookTooLong: the client took nothing for `patience_s`.
            ConnectionError: the client left.
        """
        began_s = comment_s = self._clock()
        while True:
            await self._wait()
            now_s = self._clock()
            await self._check()
            if now_s - began_s >= self._limits.longest_s:
                self.end(f"{self._limits.longest_s / 60:g} minutes are over")
            while self._parts:
                await self._write(write, self._next())
            if self._end is not None:
                await self._write(write, _message("end", {"reason": self._end}))
                return
            if self.client.has_left():
                return
            if now_s - comment_s >= self._limits.heartbeat_s:
                comment_s = now_s
                await self._write(write, _COMMENT)

    async def _wait(self) -> None:
        """Wait for a batch or the end, at most until the next check."""
        waiting = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait([waiting], timeout=self._limits.poll_s)
        finally:
            waiting.cancel()
        self._woken.clear()

    async def _check(self) -> None:
        try:
            await self._is_allowed()
        except StoreError:
            # The key was valid, and the accounts cannot be read now.
            pass
        except APIError:
            self._parts.clear()
            self.end("the key is not valid any more")

    async def _write(self, write: Write, content: bytes) -> None:
        if not content:
            return
        try:
            await asyncio.wait_for(write(content), self._limits.patience_s)
        except asyncio.TimeoutError as error:
            raise TookTooLong from error

    def _next(self) -> bytes:
        """Take the oldest part, after a message about the events that were left out before it."""
        part = self._parts.popleft()
        left_out, self._left_out = self._left_out, 0
        missed = _message("thinned", {"shown": 0, "of": left_out, "second": part.second}) if left_out else b""
        return missed + part.text

    def _part(self, batch: Batch) -> _Part:
        chosen = choose(batch, self._passes, self._limits.events_per_s)
        messages: list[bytes] = []
        size = 0
        for message in map(self._request, chosen.events):
            size += len(message)
            if messages and size > MAX_PART_BYTES:
                break
            messages.append(message)
        if chosen.matching > len(messages):
            shown = {"shown": len(messages), "of": chosen.matching, "second": batch.second}
            messages.append(_message("thinned", shown))
        return _Part(batch.second, chosen.matching, b"".join(messages))

    def _request(self, event: Event) -> bytes:
        position, row = event
        values = [row[PLACES[name]] for name in self._fields if name != "timestamp"]
        shown = dict(stored_event(position, self._fields, values))
        del shown["id"]
        return _message("request", shown, event_id(position))


def _message(kind: str, data: Mapping[str, object], event_id: str = "") -> bytes:
    # JSON has no line break.
    identity = b"id: %s\n" % event_id.encode() if event_id else b""
    return b"event: %s\n%sdata: %s\n\n" % (kind.encode(), identity, encode(data))
