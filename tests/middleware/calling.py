"""Call an application of any kind with one request, and return what its client saw."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from apimetry.middleware.errors import error_name


class HostError(Exception):
    """What the applications raise."""


@dataclass(frozen=True)
class Answer:
    """What a client saw: status and body; or the exception that reached the server."""

    status: int
    body: bytes
    error: BaseException | None = None


@dataclass(frozen=True)
class Adapter:
    """A built application: `call` sends it a request, `flush` delivers its events.

    Beside method, path, body and headers `call` takes `prefix`, under which the application is mounted, and
    `chunked`, for a body of two chunks and no length.
    """

    call: Callable[..., Answer]
    flush: Callable[[float], bool]


def chunks() -> Iterator[bytes]:
    yield b"one "
    yield b"two "
    yield b"three"[:4]


def failing_chunks() -> Iterator[bytes]:
    yield b"one "
    raise HostError("in the stream")


def call_asgi(
    app: Any,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    *,
    prefix: str = "",
    chunked: bool = False,
) -> Answer:
    path, _, query = path.partition("?")
    headers = {**headers, **({"Transfer-Encoding": "chunked"} if chunked else {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": prefix + path,
        "raw_path": (prefix + path).encode(),
        "root_path": prefix,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.77", 5000),
        "server": ("localhost", 80),
    }
    sent: list[dict[str, Any]] = []
    parts = [body[:2], body[2:]] if chunked else [body]
    requests = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts][::-1]

    async def main() -> BaseException | None:
        ended = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await ended.wait()  # as servers say it of a request that was answered
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended.set()

        try:
            await app(scope, receive, send)
        except Exception as error:  # Starlette's oldest raises a group around it
            if error_name(error) != "HostError":
                raise
            return error
        return None

    error = asyncio.run(main())
    status = next((m["status"] for m in sent if m["type"] == "http.response.start"), 500)
    return Answer(status, b"".join(m.get("body", b"") for m in sent), error)


def call_wsgi(
    app: Any,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    *,
    prefix: str = "",
    chunked: bool = False,
) -> Answer:
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": prefix,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.77",
        **(
            {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
            if chunked
            else {"CONTENT_LENGTH": str(len(body)) if body else ""}
        ),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }
    started: list[int] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        started.append(int(status[:3]))
        return received.append

    received: list[bytes] = []
    error = None
    try:
        content = app(environ, start_response)
        try:
            received.extend(content)
        finally:
            if hasattr(content, "close"):
                content.close()
    except HostError as caught:
        error = caught
    if method == "HEAD":
        received.clear()
    return Answer(started[-1] if started else 500, b"".join(received), error)


async def call_aiohttp(app: Any, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
    from aiohttp import ClientError
    from aiohttp.test_utils import TestClient, TestServer

    async with TestClient(TestServer(app)) as client:
        async with client.request(method, path, data=body or None, headers=headers) as response:
            try:
                content = await response.read()
            except ClientError:
                content = b""
            return Answer(response.status, content)
