"""A Django project in one file with our one line; `application` for WSGI, `asgi_application` for ASGI."""

from __future__ import annotations

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


urlpatterns = [
    path("v1/scores/<int:identity>", read_score),
    path("v1/scores", create_score),
    path("boom", boom),
]
application = get_wsgi_application()
asgi_application = get_asgi_application()
