"""FastAPI, Flask and Django under OpenTelemetry's own instrumentation: a few requests each, exported over OTLP.

    python -m tests.support.hosts.instrumented

The exporter takes its address, key and compression from the environment, as those of users do.
"""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from fastapi import FastAPI
from flask import Flask
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.testclient import TestClient as StarletteClient
from werkzeug.test import Client as WSGIClient

REQUESTS = ("/v1/scores/7?page=2", "/v1/nothing", "/v1/boom")


def provider_of(name):
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": "1.4"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def fastapi(provider):
    app = FastAPI()

    @app.get("/v1/scores/{identity}")
    async def show(identity: int):
        return {"identity": identity}

    @app.get("/v1/boom")
    def boom():
        raise ValueError

    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    client = StarletteClient(app, raise_server_exceptions=False)
    for url in REQUESTS:
        client.get(url)


def flask(provider):
    app = Flask("shop")

    @app.get("/v1/scores/<int:identity>")
    def show(identity):
        return {"identity": identity}

    @app.get("/v1/boom")
    def boom():
        raise ValueError

    FlaskInstrumentor().instrument_app(app, tracer_provider=provider)
    client = app.test_client()
    for url in REQUESTS:
        client.get(url)


def show(request, identity):
    return HttpResponse(str(identity))


def boom(request):
    raise ValueError


def in_django(provider):
    urls = [path("v1/scores/<int:identity>", show), path("v1/boom", boom)]
    settings.configure(ROOT_URLCONF=tuple(urls), ALLOWED_HOSTS=["*"], MIDDLEWARE=[], LOGGING_CONFIG=None)
    DjangoInstrumentor().instrument(tracer_provider=provider)
    django.setup()
    client = WSGIClient(get_wsgi_application())
    for url in REQUESTS:
        client.get(url)


def main():
    for run in (fastapi, flask, in_django):
        provider = provider_of(run.__name__)
        run(provider)
        provider.shutdown()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
