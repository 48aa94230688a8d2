"""Puts the middleware around every application that a framework's own tests make.

A pytest plugin (``-p apimetry_around``), and for Django's runner a program: ``apimetry_around.py runtests.py …``.
What the middleware logs, a fault of its own above all, goes to the file ``APIMETRY_FAULTS``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import runpy
import sys

OPTIONS = {
    "collector_url": os.environ["APIMETRY_COLLECTOR_URL"],
    "write_key": os.environ["APIMETRY_WRITE_KEY"],
    "exclude": [],
}
"""Read now: tests of the command line empty the environment."""


def wrap_starlette() -> None:
    from apimetry.middleware.asgi import ASGIMiddleware

    for name in ("starlette.applications.Starlette", "fastapi.applications.FastAPI"):
        module, _, attribute = name.rpartition(".")
        with contextlib.suppress(ImportError):
            kind = getattr(importlib.import_module(module), attribute)
            if "build_middleware_stack" in vars(kind):
                patch(kind, "build_middleware_stack", lambda build, self: ASGIMiddleware(build(self), **OPTIONS))


def wrap_flask() -> None:
    with contextlib.suppress(ImportError):
        from flask import Flask

        from apimetry.middleware.wsgi import WSGIMiddleware

        def make(initialize, self, *arguments, **options) -> None:
            initialize(self, *arguments, **options)
            self.wsgi_app = WSGIMiddleware(self.wsgi_app, **OPTIONS)

        patch(Flask, "__init__", make)


def wrap_werkzeug() -> None:
    """Werkzeug has no application class: its test client's calls are wrapped, and each application only once."""
    with contextlib.suppress(ImportError):
        import werkzeug.test

        from apimetry.middleware.wsgi import WSGIMiddleware

        def run(run_wsgi_app, app, *arguments, **options):
            return run_wsgi_app(WSGIMiddleware(app, **OPTIONS), *arguments, **options)

        if os.environ.get("APIMETRY_SUITE") == "werkzeug":
            patch(werkzeug.test, "run_wsgi_app", run)


def wrap_django() -> None:
    from django.conf import settings
    from django.core.handlers.base import BaseHandler

    def load(load_middleware, self, *arguments, **options) -> None:
        middlewares = settings.MIDDLEWARE
        settings.MIDDLEWARE = ["apimetry.middleware.django.DjangoMiddleware", *middlewares]
        try:
            load_middleware(self, *arguments, **options)
        finally:
            settings.MIDDLEWARE = middlewares

    patch(BaseHandler, "load_middleware", load)


def patch(owner, name: str, replacement) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments, **options):
        return replacement(original, *arguments, **options)

    setattr(owner, name, call)


def keep_log() -> None:
    logger = logging.getLogger("apimetry.middleware")
    logger.propagate = False  # tests of logging count what they see
    logger.addHandler(logging.FileHandler(os.environ["APIMETRY_FAULTS"]))


def pytest_configure() -> None:
    keep_log()
    wrap_starlette()
    wrap_flask()
    wrap_werkzeug()


if __name__ == "__main__":
    keep_log()
    wrap_django()
    del sys.argv[0]
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as for a program that is run
    runpy.run_path(sys.argv[0], run_name="__main__")
