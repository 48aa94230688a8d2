"""`GET /v1/export/events`: every stored event of one application as a file, in constant memory.

Before the first rows, an error is a usual error response. After that the file has begun, and an error resets the
connection, so that no client takes the part for a whole file. (For a client of HTTP/1.0, a closed connection ends the
file.) Each export has a thread of its own, which queries cannot use, and exports have their own queue. A reader that
falls too far behind a smallest rate is cut off: otherwise it would keep its slot for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone

from aiohttp import web
from prometheus_client import Counter

from apimetry.query_api.export.pace import Pace
from apimetry.query_api.export.params import ExportQuery, parse_export
from apimetry.query_api.export.sql import make_export
from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.query_api.http.transports import keep_little_unsent, reset
from apimetry.query_api.planning.event_fields import FIELDS
from apimetry.query_api.planning.narrowing import narrowed, shown_fields
from apimetry.query_api.queueing.askers import ClientLeft, client_of, until_left
from apimetry.query_api.queueing.fair_queue import Asker, FairQueue
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.credentials import authorize_application
from apimetry.serving.errors import Forbidden
from apimetry.store.accounts.accounts import Application, KeyKind
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.token_records import Fixed
from apimetry.store.client import Store
from apimetry.store.errors import StoreError

logger = logging.getLogger(__name__)

Chunks = Generator[bytes, None, None]

CONTENT_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
RETENTION_HEADER = "X-Apimetry-Retention-Days"
# Parquet is compressed inside.
_COMPRESSED = ("ndjson", "csv")
MAX_LINK_EVENTS = 10_000
"""Events that a viewer of a link exports at once: nobody knows how many people have the link."""

_PIECE_BYTES = 64 * 1024
_GZIP_WBITS = 31


class ExportHandlers:
    """Handles exports. Its mutable state is the queue and the counter, used on the event loop alone."""

    def __init__(self, store: Store, directory: Directory, settings: QuerySettings) -> None:
        self._store = store
        self._directory = directory
        self._settings = settings
        self.queue = FairQueue(
            settings.max_exports,
            max_waiting=settings.max_waiting_exports,
            max_wait_s=settings.max_export_queue_time_s,
        )
        self.slow_readers = Counter(
            "apimetry_query_slow_readers", "Exports whose reader was too slow and was cut off.", registry=None
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of exports."""
        return [web.get("/v1/export/events", self.events, allow_head=False)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Return a file of events (docs/api.md, "Data out, data gone")."""
        access = await authorize_application(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="export events", takes_links=True
        )
        query = _within(parse_export(request.query.items()), access.principal.fixed)
        client = client_of(request, access.principal)
        task = asyncio.ensure_future(self._in_turn(request, query, client.asker, access.application))
        try:
            return await until_left(client, task)
        except ClientLeft:
            self.queue.left += 1
            logger.info("an export's client left")
            raise
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _in_turn(
        self, request: web.Request, query: ExportQuery, asker: Asker, application: Application
    ) -> web.StreamResponse:
        async with self.queue.slot(asker):
            return await self._send(request, query, application)

    async def _send(self, request: web.Request, query: ExportQuery, application: Application) -> web.StreamResponse:
        response = web.StreamResponse(headers=_headers(query, application))
        chunks = self._chunks(query, application.id)
        if query.format in _COMPRESSED:
            response.headers["Vary"] = "Accept-Encoding"
            if _accepts_gzip(request):
                response.headers["Content-Encoding"] = "gzip"
                chunks = _gzipped(chunks)
        async with contextlib.aclosing(_Ahead(chunks)) as ahead:
            chunk = await ahead.next()
            keep_little_unsent(request)
            await response.prepare(request)
            pace = Pace(self._settings.min_export_bytes_per_s, self._settings.max_export_behind_s)
            try:
                while chunk is not None:
                    await self._write(response, chunk, pace)
                    chunk = await ahead.next()
            except StoreError as error:
                logger.warning("an export broke off: %s", error)
                reset(request)
            except asyncio.TimeoutError:
                self._cut_off(request, application)
            except ConnectionError:
                logger.info("an export's client left")
            except BaseException:
                reset(request)
                raise
        return response

    def _cut_off(self, request: web.Request, application: Application) -> None:
        self.slow_readers.inc()
        logger.warning(
            "an export of application %s was cut off: its reader fell %g s behind %d bytes a second",
            application.id, self._settings.max_export_behind_s, self._settings.min_export_bytes_per_s,
        )  # fmt: skip
        reset(request)

    def _chunks(self, query: ExportQuery, application: str) -> Chunks:
        export = make_export(query, application)
        chunks = self._store.stream(export.statement, form=export.form)
        return _headed(export.heading, chunks) if export.heading else chunks

    async def _write(self, response: web.StreamResponse, chunk: bytes, pace: Pace) -> None:
        view = memoryview(chunk)
        for start in range(0, len(chunk), _PIECE_BYTES):
            piece = view[start : start + _PIECE_BYTES]
            began_s = time.monotonic()
            await asyncio.wait_for(response.write(piece), pace.patience_s(len(piece)))
            pace.record(len(piece), time.monotonic() - began_s)


class _Ahead:
    """Reads chunks in its own thread, always one chunk ahead."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._thread = ThreadPoolExecutor(1, "apimetry-export")
        self._coming = self._read()

    async def next(self) -> bytes | None:
        """Return the next chunk, None after the last."""
        chunk = await asyncio.shield(self._coming)
        if chunk is not None:
            self._coming = self._read()
        return chunk

    async def aclose(self) -> None:
        """End the query; returns when the store has ended it."""
        closed = asyncio.get_running_loop().run_in_executor(self._thread, self._chunks.close)
        self._thread.shutdown(wait=False)
        ending = asyncio.gather(self._coming, closed, return_exceptions=True)
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            # Two tasks notice a client that left: the writer of the response, and `until_left`. The second one
            # cancels this wait, and the query must end all the same.
            await ending
            raise

    def _read(self) -> asyncio.Future[bytes | None]:
        return asyncio.get_running_loop().run_in_executor(self._thread, next, self._chunks, None)


def _within(query: ExportQuery, fixed: Fixed | None) -> ExportQuery:
    """Return the query within what a link binds.

    Raises:
        Forbidden: the link shows no single requests, not a field that is asked for, or fewer events.
    """
    if fixed is None:
        return query
    fields = shown_fields(query.fields, FIELDS, fixed)
    if query.limit is None or query.limit > MAX_LINK_EVENTS:
        raise Forbidden(f"This link exports {MAX_LINK_EVENTS} events at once: add limit={MAX_LINK_EVENTS}")
    return narrowed(replace(query, fields=fields), fixed)


def _headers(query: ExportQuery, application: Application) -> dict[str, str]:
    name = "-".join([application.id, "events", *_span(query)])
    return {
        "Content-Type": CONTENT_TYPES[query.format] + ("; charset=utf-8" if query.format in _COMPRESSED else ""),
        "Content-Disposition": f'attachment; filename="{name}.{query.format}"',
        "Cache-Control": "no-store",
        RETENTION_HEADER: str(application.retention_days),
    }


def _span(query: ExportQuery) -> list[str]:
    if (query.start, query.end) == (0, MAX_TIME_S):
        return []
    times = (datetime.fromtimestamp(time_s, timezone.utc) for time_s in (query.start, query.end))
    return [time.strftime("%Y%m%dT%H%M%SZ") for time in times]


def _accepts_gzip(request: web.Request) -> bool:
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


def _headed(heading: bytes, chunks: Chunks) -> Chunks:
    """Put the heading before the first rows, once the store has returned some."""
    try:
        yield heading + next(chunks, b"")
        yield from chunks
    finally:
        chunks.close()


def _gzipped(chunks: Chunks) -> Chunks:
    compressor = zlib.compressobj(1, wbits=_GZIP_WBITS)
    try:
        for chunk in chunks:
            yield compressor.compress(chunk)
        yield compressor.flush()
    finally:
        chunks.close()
