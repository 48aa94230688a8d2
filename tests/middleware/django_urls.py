"""The Django application of the contract suite."""

from __future__ import annotations

from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.utils.decorators import sync_and_async_middleware
from django.views.decorators.csrf import csrf_exempt

from tests.middleware.calling import HostError, chunks, failing_chunks


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
    return _stream(request, chunks)


def stream_error(request):
    return _stream(request, failing_chunks)


def boom(request):
    raise HostError("before the headers")


def unread(request):
    return HttpResponse("")


@sync_and_async_middleware
def refuse(get_response):
    """A middleware of the project's that answers by itself."""
    if iscoroutinefunction(get_response):

        async def layer(request):
            return HttpResponse("no", status=403) if "X-Refuse" in request.headers else await get_response(request)

    else:

        def layer(request):
            return HttpResponse("no", status=403) if "X-Refuse" in request.headers else get_response(request)

    return layer


def failing_middleware(get_response):
    """A middleware of the project's that raises before it asks a view."""

    def layer(request):
        raise HostError("in a middleware")

    return layer


urlpatterns = [
    path("v1/scores/<identity>", scores),
    path("echo", csrf_exempt(echo)),
    path("unread", csrf_exempt(unread)),
    path("stream", stream),
    re_path("^stream-error$", stream_error),
    path("boom", boom),
]
