"""The catalog, in Flask."""

from __future__ import annotations

import logging
import time

from flask import Flask, request

from apimetry.cli.demo.applications import CONSUMER_HEADER, DURATION_HEADER, STATUS_HEADER, VERSION
from apimetry.middleware.wsgi import WSGIMiddleware

app = Flask("catalog")
app.wsgi_app = WSGIMiddleware(  # type: ignore[method-assign]
    app.wsgi_app,
    consumer=lambda environ: request.headers.get(CONSUMER_HEADER),  # noqa: ARG005 - Flask has the request
    source="catalog",
    version=VERSION,
)


@app.get("/catalog/<category>")
def list_category(category: str) -> tuple[dict[str, bool], int]:  # noqa: ARG001 - the route has it
    """List the items of a category."""
    return _told()


@app.get("/catalog/<category>/export")
def export_category(category: str) -> tuple[dict[str, bool], int]:  # noqa: ARG001 - the route has it
    """Export a category."""
    return _told()


def _told() -> tuple[dict[str, bool], int]:
    time.sleep(float(request.headers[DURATION_HEADER]) / 1000)
    status = int(request.headers[STATUS_HEADER])
    if status == 500:
        raise KeyError("category")
    return {"ok": status < 400}, status


def serve(port: int) -> None:
    """Serve on the loopback until the process ends."""
    # A line for each request would fill the log.
    logging.disable(logging.CRITICAL)
    app.run("127.0.0.1", port, threaded=True)
