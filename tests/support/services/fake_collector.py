"""A collector on a real socket that keeps the batches it gets and can be told to fail."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import msgpack

from apimetry.middleware.wire import EVENT_DEFAULTS, EVENT_FIELDS
from tests.support.services.keys import WRITE_KEY


@dataclass(frozen=True)
class Reply:
    """What to answer instead of 200. Status 0: hang up without an answer. `hold`: wait for it before answering."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    hold: threading.Event | None = None


@dataclass(frozen=True)
class Post:
    """One request as it came: path, headers, raw body, decoded batch, and the status it got."""

    path: str
    headers: dict[str, str]
    body: bytes
    batch: dict[str, Any]
    status: int

    @property
    def events(self) -> list[dict[str, Any]]:
        return [
            dict(zip(EVENT_FIELDS, (*row, *EVENT_DEFAULTS[len(row) :]), strict=False)) for row in self.batch["events"]
        ]


class FakeCollector:
    """Start it as a context manager. `replies` are used up one a request; then every answer is 200.

    An event counts as stored when its batch got a 200, once per batch id.
    """

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.posts: list[Post] = []
        self.connections = 0
        self._changed = threading.Condition()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeCollector:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def options(self) -> dict[str, Any]:
        """What a middleware needs to send here."""
        return {"collector_url": self.url, "write_key": WRITE_KEY}

    @property
    def events(self) -> list[dict[str, Any]]:
        stored = {post.batch["id"]: post for post in list(self.posts) if post.status == 200}
        return [event for post in stored.values() for event in post.events]

    def wait_for_events(self, count: int, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait until so many events are stored and return all of them."""
        return self._wait(lambda: self.events, count, timeout_s)

    def wait_for_posts(self, count: int, timeout_s: float = 60.0) -> list[Post]:
        """Wait until so many requests came, whatever they got."""
        return self._wait(lambda: self.posts, count, timeout_s)

    def add(self, post: Post) -> None:
        with self._changed:
            self.posts.append(post)
            self._changed.notify_all()

    def _wait(self, read: Any, count: int, timeout_s: float) -> Any:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while len(events := read()) < count:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"waited for {count}, got {len(events)}: {events}")
        return events


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, collector: FakeCollector) -> None:
        self.collector = collector
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is none of the tests' business."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet an answer: Nagle and delayed acknowledgements would cost 40 ms each.
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.collector.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector = self.server.collector
        reply = collector.replies.popleft() if collector.replies else Reply()
        if reply.hold is not None:
            reply.hold.wait(30)
        inflated = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        headers = {name.lower(): value for name, value in self.headers.items()}
        # Before the answer: who has read the answer finds the post.
        collector.add(Post(self.path, headers, body, msgpack.unpackb(inflated), reply.status))
        if reply.status == 0:
            self.close_connection = True
        else:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            self.wfile.flush()

    def log_message(self, *values: object) -> None:
        """Nobody reads it."""
