"""Routes and functions of Django, of Django REST framework and of Ninja."""

from __future__ import annotations

import pytest

from tests.middleware.calling import call_wsgi
from tests.middleware.django_adapters import configure_django


@pytest.mark.parametrize(
    ("method", "path", "route", "function"),
    [
        ("GET", "/view/3", "/view/{identity}", "ScoreView.get"),
        ("POST", "/view/3", "/view/{identity}", "ScoreView"),
        ("GET", "/included/7/deep/a-b/", "/included/{tenant}/deep/{name}/", "plain"),
        ("GET", "/included/7/old/2024/5/", "/included/{tenant}/old/{year}/{1}/", "plain"),
        ("GET", "/re/y/deep/a/", "/re/{0}/deep/{name}/", "plain"),
        ("GET", "/rest/3", "/rest/{identity}", "ScoreAPIView.get"),
        ("GET", "/set/scores/", "/set/scores/", "ScoreViewSet.list"),
        ("GET", "/set/scores/7/", "/set/scores/{pk}/", "ScoreViewSet.retrieve"),
        ("GET", "/ninja/scores/7", "/ninja/scores/{identity}", "ninja_score"),
        ("POST", "/ninja/scores/7", "/ninja/scores/{identity}", "ninja_post"),
        ("GET", "/api-one/", "/api-one/", "api_one"),
        ("POST", "/api-one/", "/api-one/", "api_one"),
        ("GET", "/api-two/", "/api-two/", "api_two"),
        ("GET", "/wrapped/", "/wrapped/", "plain"),
        ("GET", "/wrapped-class/3", "/wrapped-class/{identity}", "ScoreView.get"),
        ("GET", "/partial/", "/partial/", "plain"),
        ("GET", "/nested/v2/page-3/", "/nested/{version}/page-{number}/", "plain"),
        ("GET", "/either/both/", "/either/both", "ScoreViewSet.list"),
        ("GET", "/either/both/7", "/either/both/{pk}", "ScoreViewSet.retrieve"),
        ("GET", "/nope", "(unmatched)", ""),
    ],
)
def test_includes_classes_rest_framework_and_ninja_of_django(method, path, route, function, fake_collector):
    pytest.importorskip("rest_framework")
    configure_django()
    pytest.importorskip("ninja")
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings

    options = {**fake_collector.options}
    with override_settings(
        APIMETRY=options,
        ROOT_URLCONF="tests.middleware.django_more_urls",
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None, "DEFAULT_RENDERER_CLASSES": (JSON_RENDERER,)},
    ):
        handler = WSGIHandler()
        call_wsgi(handler, method, path, b"", {})
    (event,) = fake_collector.wait_for_events(1)
    assert (event["route"], event["function"].rpartition("more_urls.")[2]) == (route, function)


def test_methods_of_one_ninja_path_keep_their_own_functions(fake_collector):
    configure_django()
    pytest.importorskip("ninja")
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings

    with override_settings(APIMETRY=fake_collector.options, ROOT_URLCONF="tests.middleware.django_more_urls"):
        handler = WSGIHandler()
        for method in ("GET", "POST", "GET"):
            call_wsgi(handler, method, "/ninja/scores/7", b"", {})
    functions = [e["function"].rpartition(".")[2] for e in fake_collector.wait_for_events(3)]
    assert functions == ["ninja_score", "ninja_post", "ninja_score"]


JSON_RENDERER = "rest_framework.renderers.JSONRenderer"
