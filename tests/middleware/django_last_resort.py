"""The Django application of the contract suite, with a handler of its own for what nothing else has handled."""

from __future__ import annotations

from django.http import HttpResponse

from tests.middleware.django_urls import urlpatterns

__all__ = ["handler500", "urlpatterns"]


def handler500(request):
    return HttpResponse("sorry", status=503)
