"""`GET /v1/events/live`: the requests of an application as they arrive (docs/api.md, "Live events")."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import prometheus_client
from aiohttp import web
from prometheus_client.registry import CollectorRegistry

from apimetry.query_api.answering import Answering
from apimetry.query_api.events.feed import Feed
from apimetry.query_api.events.params import FIELDS
from apimetry.query_api.events.positions import Position, position_of_id
from apimetry.query_api.events.stream import BEGIN, LiveQuery, Stream, TookTooLong
from apimetry.query_api.http.query_string import collect
from apimetry.query_api.http.transports import keep_little_unsent, reset
from apimetry.query_api.planning.event_fields import parse_fields
from apimetry.query_api.planning.filters import FILTER_PARAMETERS, filters_of
from apimetry.query_api.planning.narrowing import narrowed_filters, shown_fields
from apimetry.query_api.queueing.askers import client_of
from apimetry.query_api.settings import LiveLimits
from apimetry.serving.errors import Forbidden, Unavailable
from apimetry.store.accounts.token_records import Fixed

logger = logging.getLogger(__name__)

PARAMETERS = ("fields", *FILTER_PARAMETERS)
RETRY_AFTER_S = 30
CONTENT_TYPE = "text/event-stream"
_HEADERS = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def parse_live(parameters: Iterable[tuple[str, str]]) -> LiveQuery:
    """Return the query of a query string.

    Raises:
        BadRequest: names the parameter, its value and what is allowed.
    """
    values = collect(parameters, PARAMETERS)
    return LiveQuery(filters_of(values), parse_fields(values["fields"], FIELDS))


def _within(query: LiveQuery, fixed: Fixed | None, oldest_s: float) -> LiveQuery:
    """Return the query within what a link binds; a stream may begin with events from `oldest_s` on.

    Raises:
        Forbidden: the link shows no single requests, not a field that is asked for, or not the last minute.
    """
    if fixed is None:
        return query
    if fixed.not_before is not None and fixed.not_before > oldest_s:
        raise Forbidden(f"This link shows nothing before {fixed.not_before}, in seconds since the epoch")
    return LiveQuery(narrowed_filters(query.filters, fixed), shown_fields(query.fields, FIELDS, fixed))


class LiveHandlers:
    """Handles live streams. Its mutable state is the streams and the feeds, used on the event loop alone.

    `clock` returns seconds since the epoch.
    """

    def __init__(
        self, answering: Answering, clock: Callable[[], float], registry: CollectorRegistry, limits: LiveLimits
    ) -> None:
        self._answering = answering
        self._clock = clock
        self._limits = limits
        self._streams: set[Stream] = set()
        self._places: Counter[str] = Counter()
        self._places_of_links: Counter[str] = Counter()
        self._feeds: dict[str, Feed] = {}
        self._is_closing = False
        open_streams = prometheus_client.Gauge("apimetry_query_live_streams", "Open live streams.", registry=registry)
        open_streams.set_function(lambda: len(self._streams))
        self._cut_off = prometheus_client.Counter(
            "apimetry_query_live_cut_off",
            "Live streams whose client took nothing and was cut off.",
            registry=registry,
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the route of live streams. It must stand before the route of one event."""
        return [web.get("/v1/events/live", self.live, allow_head=False)]

    async def close(self, _: web.Application) -> None:
        """End all streams; belongs in `app.on_shutdown`, so that the service need not wait for them."""
        self._is_closing = True
        for stream in self._streams:
            stream.end("the service stops")

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Answer with a live stream."""
        access = await self._answering.authorize(request, takes_links=True)
        fixed = access.principal.fixed
        query = _within(parse_live(request.query.items()), fixed, self._clock() - self._limits.look_back_s)
        stream = Stream(
            query,
            client_of(request, access.principal),
            lambda: self._answering.authorize(request, takes_links=True),
            clock=self._clock,
            limits=self._limits,
        )
        with self._place(access.organization.id, of_link=fixed is not None):
            feed = self._feed(access.application.id)
            async with feed.read_by(stream, _last_place(request)):
                return await self._send(request, stream)

    async def _send(self, request: web.Request, stream: Stream) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        self._streams.add(stream)
        if self._is_closing:
            stream.end("the service stops")
        try:
            keep_little_unsent(request)
            await response.prepare(request)
            await response.write(BEGIN)
            await stream.send(response.write)
        except TookTooLong:
            self._cut_off.inc()
            logger.info("a live stream was cut off: its client took nothing for %g s", self._limits.patience_s)
            reset(request)
        except ConnectionError:
            logger.debug("a live stream's client left")
        finally:
            self._streams.discard(stream)
        return response

    @contextlib.contextmanager
    def _place(self, organization: str, *, of_link: bool) -> Iterator[None]:
        """Hold one of the places for streams within the block. An organization leaves some places to the others.

        Viewers of its links have half of its places, so that they cannot keep its own people out.

        Raises:
            Unavailable: all places are taken, or all that the organization or its links may have.
        """
        own, taken = self._places[organization], self._places.total()
        by_links = self._places_of_links[organization]
        most_by_links = max(1, self._limits.streams_of_one // 2)
        if taken >= self._limits.streams or own >= self._limits.streams_of_one:
            open_ones = f"{own} of this organization's" if taken < self._limits.streams else str(taken)
        elif of_link and by_links >= most_by_links:
            open_ones = f"{by_links} of this organization's links'"
        else:
            open_ones = None
        if open_ones is not None:
            message = f"{open_ones} live streams are open already, as many as are allowed"
            raise Unavailable(message, retry_after_s=RETRY_AFTER_S)
        held = [self._places, self._places_of_links] if of_link else [self._places]
        for places in held:
            places[organization] += 1
        try:
            yield
        finally:
            for places in held:
                places[organization] -= 1
                if not places[organization]:
                    del places[organization]

    def _feed(self, application: str) -> Feed:
        feed = self._feeds.get(application)
        if feed is None:
            # As many feeds as streams: an application that was left makes room for one that is looked at.
            unread = [name for name, known in self._feeds.items() if not known.is_read]
            for name in unread[: max(0, len(self._feeds) + 1 - self._limits.streams)]:
                del self._feeds[name]
            feed = Feed(application, self._answering.engine, self._clock, self._limits)
            self._feeds[application] = feed
            self._share_memory()
            asyncio.get_running_loop().call_later(self._limits.look_back_s, self._forget, application, feed)
        return feed

    def _share_memory(self) -> None:
        for feed in self._feeds.values():
            feed.hold_to(self._limits.kept_bytes // len(self._feeds))

    def _forget(self, application: str, feed: Feed) -> None:
        """Forget a feed that nobody has read for long; otherwise look again later."""
        if self._feeds.get(application) is not feed:
            return
        if feed.is_idle:
            del self._feeds[application]
            self._share_memory()
        else:
            asyncio.get_running_loop().call_later(self._limits.look_back_s, self._forget, application, feed)


def _last_place(request: web.Request) -> Position | None:
    """Return the place behind the last event that a client says it got; a text that is no id says nothing."""
    return position_of_id(request.headers.get("Last-Event-ID", ""))
