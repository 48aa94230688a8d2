"""The Django application of the contract suite."""

from __future__ import annotations

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from tests.middleware.adapters import HostError, _chunks, _failing_chunks


def scores(request, identity):
    return JsonResponse({"score": 1}, json_dumps_params={"separators": (",", ":")})


def echo(request):
    return HttpResponse(str(len(request.body)))


def _stream(request, chunks):
    if not isinstance(request, ASGIRequest):
        return StreamingHttpResponse(chunks())

    async def content():
        for chunk in chunks():
            yield chunk

    return StreamingHttpResponse(content())


def stream(request):
    return _stream(request, _chunks)


def stream_error(request):
    return _stream(request, _failing_chunks)


def boom(request):
    raise HostError("before the headers")


urlpatterns = [
    path("v1/scores/<identity>", scores),
    path("echo", csrf_exempt(echo)),
    path("stream", stream),
    re_path("^stream-error$", stream_error),
    path("boom", boom),
]
