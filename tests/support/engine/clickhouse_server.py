"""ClickHouse's HTTP interface over chDB, in a process of its own, with faults: what the suite takes for a server.

Run as a script it is the server; imported, it is the handle that starts, hurts, kills and restarts one. It speaks
what clickhouse-connect's HTTP client sends, in the parts that apimetry relies on; a real ClickHouse takes its place
where APIMETRY_TEST_CLICKHOUSE_URL is set.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import email.parser
import email.policy
import gzip
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

FAULTS = ("refuse", "hang", "reset_after_commit", "status", "delay", "slow", "cut", "broken")

# Parameters of the HTTP interface itself; every other one is a setting.
_TRANSPORT = frozenset(
    (
        *("buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format"),
        *("enable_http_compression", "http_headers_progress_interval_ms", "password", "query", "query_id"),
        *("quota_key", "role", "send_progress_in_http_headers", "session_check", "session_id"),
        *("session_timeout", "stacktrace", "user", "wait_end_of_query"),
        "cancel_http_readonly_queries_on_client_close",
    )
)
# Of ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; everything else is a 500.
_STATUS_OF_CODE = {
    **dict.fromkeys((6, 26, 27, 38, 41, 43, 44, 53, 62, 69, 70, 72, 115, 117, 321, 456, 457), 400),
    **dict.fromkeys((46, 47, 60, 81, 82, 16), 404),
    **dict.fromkeys((192, 193, 194, 516), 403),
    158: 500,
    159: 408,
    48: 501,
    439: 503,
    203: 503,
}
_CODE = re.compile(r"Code: (\d+)")
_INSERT_DATA = re.compile(
    rb"\s*(INSERT\s+INTO\s+[^\s(]+\s*(?:\([^)]*\))?)\s*FORMAT\s+(\w+)(?:[ \t]*\r?\n|[ \t]|$)", re.IGNORECASE
)

_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


class ClickHouseServer:
    """A running server: `url(database)` for stores, and the ways to hurt it."""

    def __init__(self, directory: Path, *, password: str = "") -> None:
        self._directory = directory
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._control_port = 0

    def start(self) -> None:
        """Start it and wait until it answers; on the same port after the first time."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, __file__, "--directory", str(self._directory)),
                *("--port", str(self.port), "--password", self._password),
            ],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the ClickHouse server for tests ended with status {self._process.wait()}")
        self.port, self._control_port = map(int, line.split())

    def kill(self) -> None:
        """As kill -9; connections are then refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again over the same data, on the same port."""
        self.kill()
        self.start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str) -> str:
        """A store's URL for one database of it."""
        user = f"default:{self._password}@" if self._password else ""
        return f"clickhouse://{user}127.0.0.1:{self.port}/{database}"

    def fault(
        self,
        kind: str,
        *,
        count: int = 1,
        statement: str = "",
        status: int = 500,
        code: int | None = None,
        seconds: float = 1.0,
    ) -> None:
        """Apply one fault to the next `count` statements that start with `statement` (any: empty).

        refuse: the connection is reset before the statement runs. hang: no answer until the faults are cleared.
        reset_after_commit: the statement runs, then the connection is reset. status: not run, answered with `status`
        and ClickHouse's error `code`. delay: run after `seconds`. slow: run, answered over `seconds`. cut: the answer
        ends in its middle with a reset. broken: the answer ends in its middle with the text of an error.
        """
        assert kind in FAULTS
        fault = {"kind": kind, "count": count, "statement": statement, "status": status, "code": code}
        self._control("/fault", {**fault, "seconds": seconds})

    def clear_faults(self) -> None:
        """End every fault, those that hang too."""
        self._control("/clear", {})

    def seen(self) -> Counter[str]:
        """How many statements were sent, by their first word, and how many faults hit, as `fault KIND`."""
        return Counter(self._control("/seen", {}))

    def drop(self, database: str) -> None:
        """Drop one test's database."""
        self._control("/drop", {"database": database})

    def _control(self, path: str, payload: dict[str, object]) -> dict[str, int]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._control_port}{path}", json.dumps(payload).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)


class _ServerError(Exception):
    """An answer with an error: HTTP status, ClickHouse's code and the text."""

    def __init__(self, status: int, code: int | None, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class _Engine:
    """chDB; each call on a handle of its own, so that settings end with the call."""

    def __init__(self, directory: str) -> None:
        import chdb

        self._connect = chdb.connect
        self._directory = directory
        self._anchor = chdb.connect(directory)

    def run(self, sql: bytes, parameters: dict[str, str], body: bytes) -> tuple[bytes, str]:
        values = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
        settings = {
            name: value
            for name, value in parameters.items()
            if name not in _TRANSPORT and not name.startswith("param_")
        }
        handle = self._connect(self._directory)
        try:
            if parameters.get("database"):
                handle.query(f"USE `{parameters['database']}`")
            for name, value in settings.items():
                quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                handle.query(f"SET {name} = '{quoted}'")
            return self._statement(handle, sql, values, body, parameters.get("default_format", "TabSeparated"))
        except RuntimeError as error:
            match = _CODE.search(str(error))
            code = int(match.group(1)) if match else 1000
            text = str(error)[match.start() if match else 0 :]
            raise _ServerError(_STATUS_OF_CODE.get(code, 500), code, text) from error
        finally:
            handle.close()

    def _statement(self, handle, sql: bytes, values: dict[str, str], body: bytes, default: str) -> tuple[bytes, str]:
        statement = sql + b"\n" + body if sql and body else sql or body
        insert = _INSERT_DATA.match(statement)
        if insert:
            with tempfile.NamedTemporaryFile(dir=self._directory) as file:
                file.write(statement[insert.end() :])
                file.flush()
                handle.query(
                    f"{insert.group(1).decode()} FROM INFILE '{file.name}' FORMAT {insert.group(2).decode()}"
                )
            return b"", ""
        match = _FORMAT.search(statement)
        output = match.group(1).decode() if match else default
        return handle.query(statement, output, params=values).bytes() or b"", output


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

    def take(self, statement: str) -> tuple[dict[str, object] | None, threading.Event]:
        with self._lock:
            self.seen[statement.split(None, 1)[0].upper() if statement.strip() else ""] += 1
            for fault in self._waiting:
                if statement.startswith(str(fault["statement"])) and fault["count"] > 0:
                    fault["count"] -= 1
                    self.seen[f"fault {fault['kind']}"] += 1
                    return fault, self.cleared
            return None, self.cleared


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    engine: _Engine
    faults: _Faults
    password: str

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n", {})
        else:
            self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parameters, body = self._read()
        sql = parameters.get("query", "").encode()
        fault, cleared = self.faults.take((sql + body)[:200].decode("utf-8", "replace").lstrip())
        kind = fault and fault["kind"]
        if kind == "refuse":
            self._reset()
            return
        if kind == "hang":
            cleared.wait()
            self._reset()
            return
        if kind == "delay":
            time.sleep(fault["seconds"])
        try:
            self._authenticate(parameters)
            if kind == "status":
                _fail(fault["status"], fault["code"])
            answer, output = self.engine.run(sql, parameters, body)
        except _ServerError as error:
            headers = {"X-ClickHouse-Exception-Code": str(error.code)} if error.code else {}
            self._answer(error.status, str(error).encode(), headers)
            return
        if kind == "reset_after_commit":
            self._reset()
            return
        if kind == "broken":
            answer = (
                answer[: len(answer) // 2] + b"Code: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED) (version 25.8)\n"
            )
        if kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: len(answer) // 2])
            self._reset()
            return
        self._answer_rows(answer, output, parameters, fault["seconds"] if kind == "slow" else 0)

    def _answer_rows(self, answer: bytes, output: str, parameters: dict[str, str], seconds: float) -> None:
        headers = {
            "X-ClickHouse-Summary": json.dumps({"read_rows": "0", "written_rows": "0"}),
            "X-ClickHouse-Query-Id": parameters.get("query_id", str(uuid.uuid4())),
            "X-ClickHouse-Timezone": "UTC",
        }
        if output:
            headers["X-ClickHouse-Format"] = output
        if parameters.get("enable_http_compression") == "1":
            answer, encoding = _compress(answer, self.headers.get("Accept-Encoding", ""))
            if encoding:
                headers["Content-Encoding"] = encoding
        self._answer(200, answer, headers, seconds)

    def _read(self) -> tuple[dict[str, str], bytes]:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._read_chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self._read_length()
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            parameters.update(_form(kind, body))
            return parameters, b""
        return parameters, _decompress(body, self.headers.get("Content-Encoding", ""))

    def _read_length(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _read_chunks(self) -> bytes:
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _authenticate(self, parameters: dict[str, str]) -> None:
        password = parameters.get("password", self.headers.get("X-ClickHouse-Key", ""))
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            password = base64.b64decode(value).decode().partition(":")[2]
        if password != self.password:
            raise _ServerError(403, 516, "Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")

    def _answer(self, status: int, body: bytes, headers: dict[str, str], seconds: float = 0) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(0, len(body), max(1, len(body) // 10)):
            if seconds:
                time.sleep(seconds / 10)
            self.wfile.write(body[start : start + max(1, len(body) // 10)])

    def _reset(self) -> None:
        """Close with an RST instead of a FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()


class _Control(BaseHTTPRequestHandler):
    """The tests' side door."""

    engine: _Engine
    faults: _Faults

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/fault":
            self.faults.add(payload)
        elif self.path == "/clear":
            self.faults.clear()
        elif self.path == "/drop":
            self.engine.run(f"DROP DATABASE IF EXISTS `{payload['database']}`".encode(), {}, b"")
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


def _fail(status: int, code: int | None) -> None:
    raise _ServerError(status, code, f"Code: {code}. DB::Exception: injected" if code else "")


def _form(content_type: str, body: bytes) -> dict[str, str]:
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = part.get_payload(decode=True).decode()
    return fields


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "zstd":
        return _zstd().decompress(body)
    if encoding == "lz4":
        import lz4.frame

        return lz4.frame.decompress(body)
    return body


def _compress(body: bytes, accepted: str) -> tuple[bytes, str]:
    if "lz4" in accepted:
        import lz4.frame

        return lz4.frame.compress(body), "lz4"
    if "zstd" in accepted:
        return _zstd().compress(body), "zstd"
    return (gzip.compress(body, 1), "gzip") if "gzip" in accepted else (body, "")


def _zstd():
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def main() -> None:
    """Serve until killed; prints the two ports once it answers."""
    options = argparse.ArgumentParser()
    options.add_argument("--directory", required=True)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--password", default="")
    given = options.parse_args()
    parent = os.getppid()
    engine, faults = _Engine(given.directory), _Faults()
    handler = type("Handler", (_Handler,), {"engine": engine, "faults": faults, "password": given.password})
    control = type("Control", (_Control,), {"engine": engine, "faults": faults})
    server, side_door = _Server(("127.0.0.1", given.port), handler), _Server(("127.0.0.1", 0), control)
    threading.Thread(target=side_door.serve_forever, daemon=True).start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], side_door.server_address[1], flush=True)
    while os.getppid() == parent:  # a killed test run leaves no server behind
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
