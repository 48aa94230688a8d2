"""Around Django's handler nothing changes: what passes through, passes unchanged, and is one event."""

from __future__ import annotations

import pytest

from tests.middleware.django_adapters import configure_django


@pytest.fixture
def django_client(apimetry):
    configure_django()
    from django.test import Client

    return Client(raise_request_exception=False)


def test_django_files_stream_to_their_end_and_are_closed(django_client, apimetry):
    from django.test.utils import override_settings

    with override_settings(ROOT_URLCONF="tests.middleware.django_files"):
        response = django_client.get("/file")
        assert b"".join(response.streaming_content) == b"abcdef"
        response.close()
    assert [(e.route, e.status_code, e.response_bytes) for e in apimetry] == [("/file", 200, 6)]


def test_django_stream_that_is_closed_early_is_a_499(django_client, apimetry):
    response = django_client.get("/stream")
    next(iter(response.streaming_content))
    response.close()
    assert [(e.route, e.status_code, e.response_bytes) for e in apimetry] == [("/stream", 499, 4)]


def test_django_under_a_forced_script_name_excludes_by_the_whole_path_and_by_the_path_within(apimetry):
    configure_django()
    from django.test import Client
    from django.test.utils import override_settings

    for exclude in (["/stream"], ["/api/stream"]):
        with override_settings(FORCE_SCRIPT_NAME="/api", APIMETRY={"exclude": exclude}):
            for path in ("/stream", "/echo"):
                Client().post(path).close()
    assert [e.url for e in apimetry] == ["/api/echo"] * 2


def test_django_exception_of_a_middleware_within_keeps_its_class(apimetry):
    configure_django()
    from django.test import Client
    from django.test.utils import override_settings

    middlewares = [
        "apimetry.middleware.django.DjangoMiddleware",
        "tests.middleware.django_urls.failing_middleware",
    ]
    with override_settings(MIDDLEWARE=middlewares):
        Client(raise_request_exception=False).get("/v1/scores/17")
    recorded = [(e.route, e.status_code, e.error_type) for e in apimetry]
    assert recorded == [("/v1/scores/{identity}", 500, "HostError")]


def test_django_exception_that_a_handler_answers_keeps_its_class(django_client, apimetry):
    assert django_client.get("/boom").status_code == 500
    assert [(e.status_code, e.error_type) for e in apimetry] == [(500, "HostError")]
