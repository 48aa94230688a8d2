"""A Django project in one file with our one line; `application` for WSGI, `asgi_application` for ASGI."""

from __future__ import annotations

import asyncio
import json

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["apimetry.middleware.django.DjangoMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret",
    )
    django.setup()


def read_score(request: HttpRequest, identity: int) -> HttpResponse:
    return JsonResponse({"identity": identity, "score": 7})


def create_score(request: HttpRequest) -> HttpResponse:
    return JsonResponse(json.loads(request.body), status=201)


def boom(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("boom")


_slow_is_served, _slow_may_end = asyncio.Event(), asyncio.Event()


async def slow(request: HttpRequest) -> HttpResponse:
    """Answer once the server has begun to drain: half a second after it was told that this is served."""
    _slow_is_served.set()
    await _slow_may_end.wait()
    await asyncio.sleep(0.5)
    return HttpResponse("slow")


async def started(request: HttpRequest) -> HttpResponse:
    await _slow_is_served.wait()
    _slow_may_end.set()
    return HttpResponse("started")


urlpatterns = [
    path("slow", slow),
    path("started", started),
    path("v1/scores/<int:identity>", read_score),
    path("v1/scores", create_score),
    path("boom", boom),
]
application = get_wsgi_application()
asgi_application = get_asgi_application()
