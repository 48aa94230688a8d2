"""An example application: its middleware sends every request to the collector beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import make_server

from apimetry.middleware.wsgi import WSGIMiddleware

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer every request with one sentence."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"You asked for {environ['PATH_INFO']}.\n".encode()]


if __name__ == "__main__":
    with make_server("", 8000, WSGIMiddleware(application)) as server:
        server.serve_forever()
