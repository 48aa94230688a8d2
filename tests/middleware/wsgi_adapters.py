"""The contract suite's application in Flask, as `adapters` describes it."""

from __future__ import annotations

import functools
from typing import Any

from tests.middleware.calling import Adapter, HostError, call_wsgi, chunks, failing_chunks


def refuse_wsgi(app: Any) -> Any:
    def layer(environ: Any, start_response: Any) -> Any:
        if "HTTP_X_REFUSE" in environ:
            start_response("403 Forbidden", [("Content-Length", "2")])
            return [b"no"]
        return app(environ, start_response)

    return layer


def copy_wsgi(app: Any) -> Any:
    return lambda environ, start_response: app(dict(environ), start_response)


def around_wsgi(app: Any, between: tuple[str, ...], options: dict[str, Any]) -> Any:
    """Put the layers named and, outermost, our middleware around an application; returns our middleware."""
    from apimetry.middleware.wsgi import WSGIMiddleware

    def again(app: Any) -> Any:
        return WSGIMiddleware(app, **options)

    named = {"refuse": refuse_wsgi, "copy": copy_wsgi, "again": again}
    for name in between:
        app = named[name](app) if name in named else app
    return WSGIMiddleware(app, **options)


def make_flask(options: dict[str, Any], *between: str) -> Adapter:
    from flask import Flask, Response, request

    app = Flask("contract")
    app.wsgi_app = middleware = around_wsgi(app.wsgi_app, between, options)  # type: ignore[method-assign]
    app.logger.disabled = True
    app.add_url_rule("/v1/scores/<identity>", view_func=_flask_scores)
    app.add_url_rule("/echo", "echo", lambda: str(len(request.get_data())), methods=["POST"])
    app.add_url_rule("/unread", "unread", lambda: "", methods=["POST"])
    app.add_url_rule("/stream", "stream", lambda: Response(chunks()))
    app.add_url_rule("/stream-error", "stream_error", lambda: Response(failing_chunks()))
    app.add_url_rule("/boom", "boom", _boom)
    if "last-resort" in between:
        app.register_error_handler(500, lambda error: ("sorry", 503))
    return Adapter(functools.partial(call_wsgi, app), middleware.flush)


def _flask_scores(identity: str) -> dict[str, int]:
    return {"score": 1}


def _boom() -> str:
    raise HostError("before the headers")
