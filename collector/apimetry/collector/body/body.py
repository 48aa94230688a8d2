"""Read a request's body within limits: on its sent size, its inflated size, its time, and on all bodies together.

The order of the checks: content type and encoding, the announced length, room in the budget, and only then the body.
The budget is charged for inflated bytes piece by piece. So a decompression bomb costs no more than the limit at which
it is refused. Once a body was decoded, its rows are charged in its place until they are in the spool: small events
have larger rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from apimetry.collector.body.budget import BudgetExceeded, ByteBudget
from apimetry.collector.body.inflate import ENCODINGS, Inflater
from apimetry.collector.errors import DecodeError
from apimetry.collector.settings import CollectorSettings
from apimetry.serving.errors import BadRequest, PayloadTooLarge, TooSlow, Unavailable, UnsupportedMediaType
from apimetry.serving.expectations import invite

GRACE_S = 5.0
"""The minimum rate does not apply to the first seconds of a body."""


@dataclass(slots=True)
class Hold:
    """The bytes of the budget that one request holds."""

    budget: ByteBudget
    key: str
    size: int = 0

    def take(self, size: int) -> None:
        """Take `size` more bytes; raises BudgetExceeded."""
        self.budget.acquire(self.key, size)
        self.size += size

    def release(self) -> None:
        """Give all bytes back."""
        self.budget.release(self.key, self.size)
        self.size = 0


@dataclass(slots=True)
class HeldBody:
    """An inflated body that the budget is charged for."""

    body: bytes
    _hold: Hold

    def become(self, size: int) -> None:
        """Let go of the body, and charge the budget for its `size` in rows.

        Raises BudgetExceeded, which `read` maps.
        """
        self.body = b""
        self._hold.release()
        self._hold.take(size)


def encoding_of(request: web.Request) -> str | None:
    """Return one of ENCODINGS, or None for a plain body; raises UnsupportedMediaType."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ENCODINGS:
        allowed = ", ".join(ENCODINGS)
        raise UnsupportedMediaType(f"Content encoding {encoding!r} is not known; allowed are {allowed}")
    return encoding


class BodyReader:
    """Reads bodies within the settings' limits; for one event loop."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        self.budget = ByteBudget(settings.max_held_bytes)

    @asynccontextmanager
    async def read(self, request: web.Request, key: str, encoding: str | None) -> AsyncIterator[HeldBody]:
        """Yield the inflated body; the budget is charged for it, or for its rows, until the block ends.

        Raises PayloadTooLarge, BadRequest, TooSlow, or Unavailable when the budget has no room now.
        """
        length = request.content_length
        if length is not None and length > self._settings.max_body_bytes:
            raise self._too_large("as it is sent", self._settings.max_body_bytes)
        hold = Hold(self.budget, key)
        try:
            hold.take(length or 0)
            invite(request)
            yield HeldBody(await self._read_in_time(request, hold, encoding), hold)
        except BudgetExceeded:
            raise Unavailable(
                "Too many bodies are being read now", retry_after_s=self._settings.retry_after_s
            ) from None
        finally:
            hold.release()

    async def _read_in_time(self, request: web.Request, hold: Hold, encoding: str | None) -> bytes:
        try:
            return await asyncio.wait_for(self._read(request, hold, encoding), self._settings.body_timeout_s)
        except asyncio.TimeoutError:
            limit = f"{self._settings.body_timeout_s:g} s"
            raise TooSlow(f"The body was not complete after {limit}") from None
        except DecodeError as error:
            raise BadRequest(str(error)) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise BadRequest("The body ended before its announced length, or its chunks are not readable") from error

    async def _read(self, request: web.Request, hold: Hold, encoding: str | None) -> bytes:
        pieces: list[bytes] = []
        try:
            await self._collect(request, hold, Inflater(encoding) if encoding else None, pieces)
            return b"".join(pieces)
        finally:
            # After an error, its traceback and the task of `wait_for` reference each other, and also this frame. The
            # garbage collector frees them later, however many megabytes they hold. So the pieces are freed here.
            pieces.clear()

    async def _collect(
        self, request: web.Request, hold: Hold, inflater: Inflater | None, pieces: list[bytes]
    ) -> None:
        sent = inflated = 0
        charged = hold.size
        began_s = time.monotonic()
        async for data in request.content.iter_any():
            sent += len(data)
            if sent > self._settings.max_body_bytes:
                raise self._too_large("as it is sent", self._settings.max_body_bytes)
            self._check_pace(sent, time.monotonic() - began_s)
            if sent > charged:
                hold.take(sent - charged)
                charged = sent
            if inflater is None:
                pieces.append(data)
                continue
            inflater.feed(data)
            while piece := inflater.piece():
                inflated += len(piece)
                if inflated > self._settings.max_inflated_bytes:
                    raise self._too_large("inflated", self._settings.max_inflated_bytes)
                hold.take(len(piece))
                pieces.append(piece)
        if inflater is not None:
            inflater.finish()

    def _check_pace(self, sent: int, elapsed_s: float) -> None:
        if elapsed_s > GRACE_S and sent < self._settings.min_body_bytes_per_s * (elapsed_s - GRACE_S):
            pace = self._settings.min_body_bytes_per_s
            raise TooSlow(f"The body came slower than {pace} bytes a second")

    def _too_large(self, form: str, limit: int) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is over the limit of {limit} bytes {form}")
