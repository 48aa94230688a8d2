"""Make an event's row from an HTTP server span, by both generations of the semantic conventions. Pure.

docs/opentelemetry.md has the table of attributes. The private parts of a span are masked here, as the middleware
masks them before it sends an event.

Sources: https://opentelemetry.io/docs/specs/semconv/http/http-spans/, and the same page of version 1.19;
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/ for the weight.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from apimetry.collector.formats.blocks import WIRE_COLUMNS
from apimetry.collector.formats.event_structs import STRING_LIMITS
from apimetry.collector.formats.guessed_routes import guess_route
from apimetry.collector.formats.otlp.span import (
    ERROR,
    EXCEPTION_TYPE,
    OTHER,
    STABLE_METHOD,
    STABLE_STATUS,
    Attributes,
    Span,
)
from apimetry.middleware.privacy import public_address, public_url
from apimetry.middleware.route_templates import brace_template
from apimetry.middleware.routes import UNMATCHED
from apimetry.middleware.wire import OTHER_METHOD

COLUMNS: Final = (*WIRE_COLUMNS, "source", "version")
"""The table's names for the values of a row."""

Row = tuple[object, ...]

NS_PER_US = 1000
TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
_MAX_BYTES = 2**53
_MAX_US = 2**40 - 1
_MAX_WEIGHT = 1_000_000
_MAX_CACHED_ROUTES = 1024
_ANGLES = re.compile(r"<([^<>]*)>")
_SIGILS = re.compile(r"(?<=/)[:*](\w+)\??")
_SIGNS = re.compile(r"{\*{0,2}(\w+)\??}")
_THRESHOLD = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?=[;,\s]|$)")
_THRESHOLDS = 16**14
"""Thresholds of a consistent sampler are below this number: 56 bits."""


class SpanFault(ValueError):
    """The span is of an HTTP request, and no event can be made of it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Service(Struct, gc=False, frozen=True):
    """The resource of a span: the name of the service, and the private parts of spans that its events have."""

    source: str
    version: str
    url: str
    client_ip: str
    user_agent: bool

    @property
    def is_private(self) -> bool:
        """Whether events have the client's address or its software."""
        return self.user_agent or self.client_ip != "off"


def make_service(attributes: Attributes) -> Service:
    """Return the service of a resource's attributes. A word that is not known leaves the default."""
    url, client_ip = attributes.get("apimetry.url"), attributes.get("apimetry.client_ip")
    return Service(
        source=attributes.get("service.name") or "",
        version=attributes.get("service.version") or "",
        url=url if url in ("path", "full") else "masked",
        client_ip=client_ip if client_ip in ("truncated", "full") else "off",
        user_agent=attributes.get("apimetry.user_agent") in ("true", "True", "1"),
    )


class Rows:
    """Makes the rows of one body. Mutable state: the spelling of its routes."""

    def __init__(self) -> None:
        self._routes: dict[str, str] = {}

    def make(self, span: Span, service: Service) -> Row | None:
        """Return the values of COLUMNS, or None if the span is of no HTTP request; raises SpanFault."""
        attributes = span.attributes
        method = _method(attributes)
        if not method:
            return None
        status = _status(span)
        path, query = _target(attributes)
        address, agent = _client(attributes, service) if service.is_private else ("", "")
        return (
            span.start_ns // NS_PER_US,
            method,
            public_url(path, query, service.url),
            self._route(span, path, status),
            _function(attributes),
            status,
            _duration_us(span),
            None,
            _size(attributes, "http.request.body.size", "http.request_content_length"),
            _size(attributes, "http.response.body.size", "http.response_content_length"),
            _first(attributes, "enduser.id", "enduser.pseudo.id", "user.id"),
            _error_type(attributes, status),
            address,
            agent,
            _weight(span.trace_state) if span.trace_state else 1,
            _ids(span),
            service.source,
            service.version,
        )

    def _route(self, span: Span, path: str, status: int) -> str:
        route = span.attributes.get("http.route")
        if route:
            route = route[: STRING_LIMITS["route"]]
            spelled = self._routes.get(route)
            return spelled if spelled is not None else self._spell(route)
        if status == 404:
            return UNMATCHED
        # Conventions name a span `GET /v1/scores/{identity}`; without a route they name it `GET`.
        _, slash, rest = span.name.partition("/")
        return guess_route(f"/{rest}" if slash else path)

    def _spell(self, route: str) -> str:
        spelled = spell_route(route)
        if len(self._routes) < _MAX_CACHED_ROUTES:
            self._routes[route] = spelled
        return spelled


def spell_route(route: str) -> str:
    """Return a framework's route in the spelling of the middleware: ``/v1/scores/{identity}``.

    Known are ``<int:identity>`` (Flask, Django), ``:identity`` and ``*rest`` (Express, Gin, Rails),
    ``{identity:int}``, ``{identity?}``, ``{*rest}`` (ASP.NET, Starlette), and ``GET /v1/…`` (Go's patterns).
    """
    _, slash, rest = route.partition(" /")
    if slash:
        route = f"/{rest}"
    route = _SIGNS.sub(r"{\1}", brace_template(_ANGLES.sub(_in_braces, route)))
    route = _SIGILS.sub(r"{\1}", route)
    return route if route.startswith("/") else f"/{route}"


def _in_braces(converter: re.Match[str]) -> str:
    return f"{{{converter[1].rpartition(':')[2].strip()}}}"


def _first(attributes: Attributes, *names: str) -> str:
    """Return the first of these texts that is not empty."""
    return next(filter(None, map(attributes.get, names)), "")


def _method(attributes: Attributes) -> str:
    method = attributes.get(STABLE_METHOD) or attributes.get("http.method") or ""
    return attributes.get("http.request.method_original") or OTHER_METHOD if method == OTHER else method


def _status(span: Span) -> int:
    status: int | None = span.attributes.get(STABLE_STATUS)
    if status is None:
        status = span.attributes.get("http.status_code")
    if status is None:
        if span.status == ERROR:
            return 500
        raise SpanFault(STABLE_STATUS, "this attribute is required, as a number")
    if not 100 <= status <= 999:
        raise SpanFault(STABLE_STATUS, f"{status} is no status of HTTP")
    return status


def _target(attributes: Attributes) -> tuple[str, str]:
    """Return the path and the query."""
    path = attributes.get("url.path")
    if path is not None:
        return path, attributes.get("url.query") or ""
    _, _, rest = _first(attributes, "url.full", "http.url").partition("://")
    _, slash, rest = rest.partition("/")
    path, _, query = f"{slash}{rest}".partition("#")[0].partition("?")
    target = attributes.get("http.target")
    if target:
        # Some instrumentations keep the query in `http.url` alone.
        path, _, own_query = target.partition("#")[0].partition("?")
        query = own_query or query
    return path, query


def _ids(span: Span) -> dict[str, str]:
    if len(span.trace_id) != TRACE_ID_BYTES or len(span.span_id) != SPAN_ID_BYTES:
        return {}
    return {"trace_id": span.trace_id.hex(), "span_id": span.span_id.hex()}


def _client(attributes: Attributes, service: Service) -> tuple[str, str]:
    """Return the client's address and its software, as far as the service's events have them."""
    address = public_address(_first(attributes, "client.address", "http.client_ip"), service.client_ip)
    return address, _first(attributes, "user_agent.original", "http.user_agent") if service.user_agent else ""


def _function(attributes: Attributes) -> str:
    name: str | None = attributes.get("code.function.name")
    if name:
        return name
    namespace, function = attributes.get("code.namespace"), attributes.get("code.function") or ""
    return f"{namespace}.{function}" if namespace and function else function


def _duration_us(span: Span) -> int | None:
    duration_us = (span.end_ns - span.start_ns) // NS_PER_US
    return duration_us if 0 <= duration_us <= _MAX_US else None


def _size(attributes: Attributes, name: str, old_name: str) -> int | None:
    size: int | None = attributes.get(name)
    if size is None:
        size = attributes.get(old_name)
    return size if size is not None and 0 <= size <= _MAX_BYTES else None


def _error_type(attributes: Attributes, status: int) -> str:
    error = attributes.get("error.type")
    if not error or error in (OTHER, str(status)):
        error = attributes.get(EXCEPTION_TYPE)
    return error or ""


def _weight(trace_state: str) -> int:
    """Return how many requests the span stands for, by the threshold of a consistent sampler."""
    threshold = _THRESHOLD.search(trace_state)
    if threshold is None:
        return 1
    rejected = int(threshold[1].ljust(14, "0"), 16)
    return min(_MAX_WEIGHT, round(_THRESHOLDS / (_THRESHOLDS - rejected)))
