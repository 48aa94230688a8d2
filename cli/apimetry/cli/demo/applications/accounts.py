"""The accounts, in Django."""

from __future__ import annotations

import asyncio

import django  # type: ignore[import-untyped]  # it ships no types
import uvicorn
from django.conf import settings  # type: ignore[import-untyped]  # it ships no types
from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]  # it ships no types
from django.http import HttpRequest, JsonResponse  # type: ignore[import-untyped]  # it ships no types
from django.urls import path  # type: ignore[import-untyped]  # it ships no types

from apimetry.cli.demo.applications import CONSUMER_HEADER, DURATION_HEADER, STATUS_HEADER, VERSION


async def login(request: HttpRequest) -> JsonResponse:
    """Sign in."""
    return await _told(request)


async def profile(request: HttpRequest, identity: int) -> JsonResponse:  # noqa: ARG001 - the route has it
    """Show a profile."""
    return await _told(request)


async def _told(request: HttpRequest) -> JsonResponse:
    await asyncio.sleep(float(request.headers[DURATION_HEADER]) / 1000)
    status = int(request.headers[STATUS_HEADER])
    if status == 500:
        raise KeyError("password_hash")
    return JsonResponse({"ok": status < 400}, status=status)


urlpatterns = [path("accounts/login", login), path("accounts/<int:identity>/profile", profile)]


def serve(port: int) -> None:
    """Serve on the loopback until the process ends."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        APIMETRY={
            "consumer": lambda request: request.headers.get(CONSUMER_HEADER),
            "source": "accounts",
            "version": VERSION,
        },
        LOGGING_CONFIG=None,
        MIDDLEWARE=["apimetry.middleware.django.DjangoMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="the demo has no sessions",  # noqa: S106 - it protects nothing
    )
    django.setup()
    uvicorn.run(get_asgi_application(), host="127.0.0.1", port=port, log_level="critical", lifespan="off")
