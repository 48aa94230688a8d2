"""An HTTP proxy in front of a ClickHouse server that refuses, hangs, resets and cuts when a test says so."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.support.engine.on_cluster import for_nodes

FAULTS = ("refuse", "hang", "reset_after_commit", "status", "delay", "slow", "cut", "broken", "first_node")

_OF_THE_CONNECTION = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
_PIECE_BYTES = 256 * 1024


class _Faults:
    """The faults to come; `take` uses one up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[dict[str, object]] = []
        self.cleared = threading.Event()
        self.seen: Counter[str] = Counter()

    def add(self, fault: dict[str, object]) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
            self.cleared.set()
            self.cleared = threading.Event()

    def take(self, statement: str) -> tuple[dict[str, object], threading.Event]:
        with self._lock:
            self.seen[statement.split(None, 1)[0].upper() if statement.strip() else ""] += 1
            for fault in self._waiting:
                if statement.startswith(str(fault["statement"])) and fault["count"] > 0:
                    fault["count"] -= 1
                    self.seen[f"fault {fault['kind']}"] += 1
                    return fault, self.cleared
            return {"kind": ""}, self.cleared


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    engine_port: int
    peers: list[int]
    faults: _Faults

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self._body()
        fault, cleared = self.faults.take(self._statement(body))
        kind = fault["kind"]
        if kind == "hang":
            cleared.wait()
        if kind in ("refuse", "hang"):
            self._reset()
            return
        if kind == "status":
            self._refuse(fault["status"], fault["code"])
            return
        if kind == "delay":
            time.sleep(fault["seconds"])
        if self.peers and b" ON CLUSTER '" in body:
            # Several statements take the place of one, and an id is for one.
            self.path = re.sub(r"query_id=[^&]*&?", "", self.path)
            try:
                body = self._run_on_nodes(body.decode(), self.peers[:1] if kind == "first_node" else self.peers)
            except ConnectionError:  # a node is away
                self._reset()
                return
        engine = http.client.HTTPConnection("127.0.0.1", self.engine_port)
        try:
            engine.request(self.command, self.path, body, self._own_headers())
            response = engine.getresponse()
            if kind in ("", "delay"):
                self._pass_on(response)
            else:
                self._spoil(response, response.read(), fault)
        except ConnectionError:  # the engine or the client is gone
            self._reset()
        finally:
            engine.close()

    def _own_headers(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}

    def _run_on_nodes(self, statement: str, ports: list[int]) -> bytes:
        """Run the statement on the nodes of `ports`, and return what is left to run: nothing, or what failed."""
        for port, statements in zip(ports, for_nodes(statement, len(self.peers)), strict=False):
            for piece in map(str.encode, statements):
                node = http.client.HTTPConnection("127.0.0.1", port)
                node.request(self.command, self.path, piece, self._own_headers())
                response = node.getresponse()
                response.read()
                node.close()
                if response.status != 200:
                    return piece
        return b"SELECT 1 WHERE 0"

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _statement(self, body: bytes) -> str:
        query = dict(parse_qsl(urlsplit(self.path).query)).get("query", "").encode()
        return (query + body)[:200].decode("utf-8", "replace").lstrip()

    def _pass_on(self, response: http.client.HTTPResponse) -> None:
        """Send the engine's answer as it comes; where the engine breaks it off, break it off too."""
        self._send_head(response)
        try:
            while piece := response.read1(_PIECE_BYTES):
                self._send_chunk(piece)
        except http.client.IncompleteRead as error:
            self._send_chunk(error.partial)
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _spoil(self, response: http.client.HTTPResponse, answer: bytes, fault: dict[str, object]) -> None:
        if fault["kind"] in ("reset_after_commit", "first_node"):
            self._reset()
            return
        self._send_head(response)
        if fault["kind"] == "slow":
            step = max(1, len(answer) // 10)
            for start in range(0, len(answer), step):
                time.sleep(fault["seconds"] / 10)
                self._send_chunk(answer[start : start + step])
        else:
            self._send_chunk(answer[: len(answer) // 2])
        if fault["kind"] == "cut":
            self._reset()
            return
        if fault["kind"] == "broken":
            self._send_chunk(b"Code: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED) (version 25.8)\n")
        self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send_chunk(self, piece: bytes) -> None:
        if piece:
            self.wfile.write(b"%X\r\n%b\r\n" % (len(piece), piece))

    def _refuse(self, status: int, code: int | None) -> None:
        body = f"Code: {code}. DB::Exception: injected".encode() if code else b""
        self.send_response_only(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Close with an RST instead of a FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()


class _Control(BaseHTTPRequestHandler):
    """The tests' side door."""

    faults: _Faults

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/fault":
            self.faults.add(payload)
        elif self.path == "/clear":
            self.faults.clear()
        answer = json.dumps(self.faults.seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ValueError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with contextlib.suppress(OSError):
            super().shutdown_request(request)


def start_proxy(engine_port: int, port: int, peers: list[int]) -> tuple[int, int]:
    """Start the proxy in threads of this process, and return its port and its control's.

    Statements ON CLUSTER go to the engines of all `peers`.
    """
    faults = _Faults()
    handler = type("Handler", (_Handler,), {"engine_port": engine_port, "peers": peers, "faults": faults})
    control = type("Control", (_Control,), {"faults": faults})
    servers = [_Server(("127.0.0.1", port), handler), _Server(("127.0.0.1", 0), control)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return servers[0].server_address[1], servers[1].server_address[1]
