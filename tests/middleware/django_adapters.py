"""The contract suite's application in Django, as `adapters` describes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.middleware.calling import Adapter, Answer, call_asgi, call_wsgi


def configure_django() -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF="tests.middleware.django_urls",
            SECRET_KEY="not a secret",
            LOGGING_CONFIG=None,
            MIDDLEWARE=["apimetry.middleware.django.DjangoMiddleware"],
        )
        django.setup()


DJANGO_LAYERS = {
    "refuse": "tests.middleware.django_urls.refuse",
    "again": "apimetry.middleware.django.DjangoMiddleware",
}


def make_django(options: dict[str, Any], *between: str) -> Adapter:
    configure_django()
    from django.core.handlers.wsgi import WSGIHandler

    with django_settings(options, between):
        handler = WSGIHandler()
    return Adapter(_django_call(call_wsgi, handler, between), _django_flush(handler))


def make_django_async(options: dict[str, Any], *between: str) -> Adapter:
    configure_django()
    from django.core.handlers.asgi import ASGIHandler

    with django_settings(options, between):
        handler = ASGIHandler()
    return Adapter(_django_call(call_asgi, handler, between), _django_flush(handler))


def django_settings(options: dict[str, Any], between: tuple[str, ...]) -> Any:
    from django.test.utils import override_settings

    layers = [DJANGO_LAYERS[name] for name in reversed(between) if name in DJANGO_LAYERS]
    return override_settings(
        APIMETRY=options,
        MIDDLEWARE=["apimetry.middleware.django.DjangoMiddleware", *layers],
        ROOT_URLCONF="tests.middleware.django_last_resort"
        if "last-resort" in between
        else "tests.middleware.django_urls",
    )


def _django_call(call: Callable[..., Answer], handler: Any, between: tuple[str, ...]) -> Callable[..., Answer]:
    def settled(*arguments: Any, **how: Any) -> Answer:
        with django_settings({}, between):  # its resolver reads them at each request
            return call(handler, *arguments, **how)

    return settled


def _django_flush(handler: Any) -> Callable[[float], bool]:
    """Find our middleware in the chain that Django has built of functions and instances."""
    from apimetry.middleware.django import DjangoMiddleware

    def find(item: Any, depth: int) -> DjangoMiddleware | None:
        if isinstance(item, DjangoMiddleware) or depth == 0:
            return item if isinstance(item, DjangoMiddleware) else None
        cells = [cell.cell_contents for cell in getattr(item, "__closure__", None) or ()]
        wrapped = [getattr(item, "__wrapped__", None), getattr(item, "awaitable", None)]
        for inner in [*cells, *wrapped]:
            if inner is not None and (middleware := find(inner, depth - 1)) is not None:
                return middleware
        return None

    middleware = find(handler._middleware_chain, 6)
    assert middleware is not None
    return middleware.flush
