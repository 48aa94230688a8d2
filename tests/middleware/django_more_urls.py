"""Every way Django, REST framework and Ninja spell a route; needs both installed."""

from __future__ import annotations

import functools

from django.http import HttpResponse
from django.urls import include, path, re_path
from django.views import View
from ninja import NinjaAPI
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet


def plain(request, **parameters):
    return HttpResponse("")


class ScoreView(View):
    def get(self, request, identity):
        return HttpResponse("")


class ScoreAPIView(APIView):
    authentication_classes = permission_classes = ()

    def get(self, request, identity):
        return Response({})


class ScoreViewSet(ViewSet):
    authentication_classes = permission_classes = ()

    def list(self, request):
        return Response([])

    def retrieve(self, request, pk):
        return Response({})


@api_view(["GET", "POST"])
def api_one(request):
    return Response({})


@api_view(["GET"])
def api_two(request):
    return Response({})


def unnamed(func):
    def wrapper(*arguments, **parameters):
        return func(*arguments, **parameters)

    return wrapper


ninja = NinjaAPI(urls_namespace="apimetry-tests")


@ninja.get("/scores/{int:identity}")
def ninja_score(request, identity: int):
    return {}


@ninja.post("/scores/{int:identity}")
def ninja_post(request, identity: int):
    return {}


router = SimpleRouter()
router.register("scores", ScoreViewSet, basename="score")

router_of_both = SimpleRouter()
router_of_both.trailing_slash = "/?"
router_of_both.register("both", ScoreViewSet, basename="both")

inner = [path("deep/<slug:name>/", plain), re_path(r"^old/(?P<year>[0-9]{4})/(\d+)/$", plain)]
urlpatterns = [
    path("view/<int:identity>", ScoreView.as_view()),
    path("included/<int:tenant>/", include(inner)),
    re_path(r"^re/(?:x|y)/", include(inner)),
    path("rest/<int:identity>", ScoreAPIView.as_view()),
    path("set/", include(router.urls)),
    path("ninja/", ninja.urls),
    path("api-one/", api_one),
    path("api-two/", api_two),
    path("wrapped/", unnamed(plain)),
    path("wrapped-class/<int:identity>", unnamed(ScoreView.as_view())),
    path("partial/", functools.partial(plain, more=1)),
    re_path(r"^nested/(?P<version>(v1|v2))/(?:page-(?P<number>\d+)/)?$", plain),
    path("either/", include(router_of_both.urls)),
]
