"""How each middleware is put around an application, as its own documentation says."""

# ruff: noqa: PLC0415, ANN001, ANN202, ANN401, ARG002 - each is imported where it is used; a script
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import _middleware_hosts as hosts

if TYPE_CHECKING:
    from collections.abc import Callable

UUID = "123e4567-e89b-12d3-a456-426614174000"
OPTIONS = {"write_key": hosts.WRITE_KEY, "consumer": "X-API-Key"}


def apimetry(framework: str) -> Any:
    if framework == "django":
        return hosts.make_django(("apimetry.middleware.django.DjangoMiddleware",), {"APIMETRY": OPTIONS})
    app = hosts.MAKE[framework]()
    if framework == "flask":
        from apimetry.middleware.wsgi import WSGIMiddleware

        app.wsgi_app = WSGIMiddleware(app.wsgi_app, **OPTIONS)
        return app
    from apimetry.middleware.asgi import ASGIMiddleware

    return ASGIMiddleware(app, **OPTIONS)


def floor(framework: str) -> Any:
    """Add the least that any recording does: two clock reads, a wrapped `send` or `start_response`, an append."""
    from collections import deque
    from time import perf_counter_ns

    events: deque[tuple[object, ...]] = deque(maxlen=20_000)
    app = hosts.MAKE[framework]()

    async def asgi(scope, receive, send):
        start, status = perf_counter_ns(), 0

        async def wrapped(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await app(scope, receive, wrapped)
        events.append((scope["path"], status, perf_counter_ns() - start))

    def wsgi(environ, start_response):
        start, status_line = perf_counter_ns(), ""

        def wrapped(status, headers, exc_info=None):
            nonlocal status_line
            status_line = status
            return start_response(status, headers, exc_info)

        body = app(environ, wrapped)
        events.append((environ["PATH_INFO"], status_line, perf_counter_ns() - start))
        return body

    return asgi if framework in ("starlette", "fastapi") else wsgi


def apitally(framework: str) -> Any:
    settings = {"client_id": UUID, "env": "dev"}
    if framework == "django":
        return hosts.make_django(("apitally.django.ApitallyMiddleware",), {"APITALLY_MIDDLEWARE": settings})
    app = hosts.MAKE[framework]()
    if framework == "flask":
        from apitally.flask import ApitallyMiddleware

        app.wsgi_app = ApitallyMiddleware(app, **settings)
    elif framework == "fastapi":
        from apitally.fastapi import ApitallyMiddleware

        app.add_middleware(ApitallyMiddleware, **settings)
    else:
        from apitally.starlette import ApitallyMiddleware

        app.add_middleware(ApitallyMiddleware, **settings)
    return app


def api_analytics(framework: str) -> Any:
    if framework == "django":
        return hosts.make_django(("api_analytics.django.Analytics",), {"ANALYTICS_API_KEY": "key"})
    app = hosts.MAKE[framework]()
    if framework == "flask":
        from api_analytics.flask import add_middleware

        add_middleware(app, "key")
    else:
        from api_analytics.fastapi import Analytics

        app.add_middleware(Analytics, api_key="key")
    return app


def prometheus(framework: str) -> Any:
    if framework == "django":
        around = ("PrometheusBeforeMiddleware", "PrometheusAfterMiddleware")
        names = tuple(f"django_prometheus.middleware.{name}" for name in around)
        return hosts.make_django(names, {"INSTALLED_APPS": ["django_prometheus"]})
    app = hosts.MAKE[framework]()
    if framework == "flask":
        from prometheus_flask_exporter import PrometheusMetrics

        PrometheusMetrics(app)
    elif framework == "fastapi":
        from prometheus_fastapi_instrumentator import Instrumentator

        Instrumentator().instrument(app)
    else:
        from starlette_exporter import PrometheusMiddleware

        app.add_middleware(PrometheusMiddleware)
    return app


def opentelemetry(framework: str) -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Dropping(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Dropping()))
    trace.set_tracer_provider(provider)
    if framework == "django":
        from opentelemetry.instrumentation.django import DjangoInstrumentor

        hosts.make_django()
        DjangoInstrumentor().instrument()
        from django.conf import settings
        from django.core.handlers.wsgi import WSGIHandler

        settings.MIDDLEWARE = [*settings.MIDDLEWARE]
        return WSGIHandler()
    app = hosts.MAKE[framework]()
    if framework == "flask":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app)
    elif framework == "fastapi":
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app)
    else:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        return OpenTelemetryMiddleware(app)
    return app


PEERS: dict[str, Callable[[str], Any]] = {
    "floor": floor,
    "apitally": apitally,
    "api-analytics": api_analytics,
    "prometheus exporters": prometheus,
    "opentelemetry": opentelemetry,
}
FRAMEWORKS_OF = {"floor": ("starlette", "fastapi", "flask", "django")}


def add(framework: str, who: str) -> Any:
    """Make an application with a middleware around it; our own answers to the name ``apimetry``."""
    os.environ.setdefault("APIMETRY_COLLECTOR_URL", "http://127.0.0.1:9")
    return apimetry(framework) if who == "apimetry" else PEERS[who](framework)
