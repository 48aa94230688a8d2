"""A Django project with users and sessions in a database, to be run: prints what was recorded, and the queries."""

# ruff: noqa: E402 - Django must be set up before its models are imported
from __future__ import annotations

import asyncio
import json
import sys
import types

import django
from django.conf import settings

MODULE = types.ModuleType("users_urls")
sys.modules["users_urls"] = MODULE
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "apimetry.middleware.django.DjangoMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="no secret",
    ROOT_URLCONF="users_urls",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    APIMETRY={
        "write_key": "k",
        "consumer": lambda request: request.user.pk,
        "data": lambda request: {"cart": request.session.get("cart", "unknown")},
    },
)
django.setup()

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from apimetry.middleware.testing import record_events


def uses_user(request):
    return HttpResponse(str(request.user.pk))


def uses_nothing(request):
    return HttpResponse("")


async def async_uses_user(request):
    user = await request.auser() if hasattr(request, "auser") else await sync_to_async(lambda: request.user)()
    return HttpResponse(str(await sync_to_async(lambda: user.pk)()))


async def async_uses_nothing(request):
    return HttpResponse("")


MODULE.urlpatterns = [
    path(f"{view.__name__}", view) for view in (uses_user, uses_nothing, async_uses_user, async_uses_nothing)
]


def main():
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("jo", password="x")
    client = Client()
    client.force_login(user)
    session = client.session
    session["cart"] = "full"
    session.save()
    asynchronous = AsyncClient()
    asynchronous.cookies = client.cookies
    by_request = {}
    for name in ("uses_user", "uses_nothing", "async_uses_user", "async_uses_nothing"):
        for kind in ("wsgi", "asgi"):
            with record_events() as events, CaptureQueriesContext(connection) as queries:
                if kind == "wsgi":
                    client.get(f"/{name}")
                else:
                    asyncio.run(asynchronous.get(f"/{name}"))
                (event,) = events
            by_request[f"{kind} {name}"] = [event.consumer_id, event.data, len(queries)]
    print(json.dumps({"user": str(user.pk), "by_request": by_request}))


main()
