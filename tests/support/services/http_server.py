"""A small HTTP server of a test: it answers what it is told to, and keeps what it was sent."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def answering(answer):
    """Serve `answer(request) -> (status, headers, body)`; yields the server, with `url`, `requests` and `bodies`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append((self.command, self.path, dict(self.headers)))
            server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            status, headers, body = answer(self)
            self.send_response_only(status)
            usual = {"Content-Length": str(len(body)), "Date": self.date_time_string()}
            for name, value in {**usual, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.bodies = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
