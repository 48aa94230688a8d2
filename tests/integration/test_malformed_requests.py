"""Every kind of key through every malformed request, to the real services: no answer and no log line repeats it."""

from __future__ import annotations

import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.support.services.keys import ADMIN_KEY, READ_KEY, WRITE_KEY
from tests.support.services.processes import BOOTSTRAP, running

KEYS = (ADMIN_KEY, WRITE_KEY, READ_KEY)
KEY_HEADERS = ("X-API-Key: ", "Authorization: Bearer ", "X-Auth-Key: ")
START = "GET /v1/developer/usage HTTP/1.1\r\nHost: x\r\n"
POST = "POST /1/event/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n"
# What is half a head or half a body is waited for by the server: longer than it takes to answer what is whole.
PATIENCE_S = 4.0
AT_A_TIME = 32
END = "\r\nConnection: close\r\n\r\n"


def in_a_header(header, key):
    """Heads that are none because of what stands around a key in its header."""
    for character in "\x00\x01\x07\x08\x0b\x0c\x1b\x1f\x7f\n\r":
        yield START + header + key + character + END
        yield START + header + key + character + "x" + END
    name, _, scheme = header.partition(":")
    yield START + name + scheme + key + END
    yield START + name + " :" + scheme + key + END
    yield START + " " + header + key + END
    yield START + header + "\r\n " + key + END
    yield START + header + "\n " + key + END
    yield START + header + key * 200 + END
    yield (START + header + key + END).replace("\r\n", "\n")
    yield (START + header + key + END).replace("\r\n", "\r")
    yield (START + header + key + END).replace("Host: x\r\n", "")
    yield START.replace("1.1", "1.1.1") + header + key + END
    yield START + "Content-Length: 1\r\nContent-Length: 2\r\n" + header + key + END
    yield START + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n" + header + key + END
    yield START + "Sec-WebSocket-Key1: x\r\n" + header + key + END
    yield "\x16\x03\x01" + header + key + END
    yield CHUNKED + header + key + "\r\n\r\nno size\r\n"
    yield CHUNKED + header + key + "\r\n\r\n3\r\nabcdef\r\n"


def anywhere_else(key):
    """The same key where no key belongs."""
    yield f"{key} / HTTP/1.1\r\nHost: x{END}"
    yield f"{key}\x00 / HTTP/1.1\r\nHost: x{END}"
    yield f"GET {key} HTTP/1.1\r\nHost: x{END}"
    yield f"GET /\x00{key} HTTP/1.1\r\nHost: x{END}"
    yield f"GET http://{key}:port/ HTTP/1.1\r\nHost: x{END}"
    yield f"GET http://[{key}/ HTTP/1.1\r\nHost: x{END}"
    yield f"CONNECT {key} HTTP/1.1\r\nHost: x{END}"
    yield f"GET / {key}\r\nHost: x{END}"
    yield f"GET / HTTP/{key}\r\nHost: x{END}"
    yield f"GET {key}\r\n\r\n"
    yield f"{key}\r\n\r\n"
    yield f"{START}{key}{END}"
    yield f"{START}: {key}{END}"
    yield f"{START}{key}\x00: x{END}"
    yield f"{START}Host: {key}{END}"
    yield f"{START}Content-Length: {key}{END}"
    yield f"{START}Transfer-Encoding: {key}{END}"
    yield f"{START}Transfer-Encoding: {key}, chunked{END}0\r\n\r\n"
    yield f"{START}Expect: {key}{END}"
    yield f"{CHUNKED}\r\n{key}\r\n"
    yield f"{CHUNKED}\r\n1;{key}\n\r\nx\r\n0\r\n\r\n"
    yield f"{CHUNKED}\r\n0\r\n{key}\r\n\r\n"
    yield f"{CHUNKED}\r\n0\r\n: {key}\r\n\r\n"


def well_formed(key):
    """Requests that are HTTP and yet wrong, with the key where answers like to quote."""
    yield f"GET /{key} HTTP/1.1\r\nHost: x{END}"
    yield f"GET /{key.replace('_', '%5F')} HTTP/1.1\r\nHost: x{END}"
    yield f"GET /v1/developer/usage?timeframe={key} HTTP/1.1\r\nHost: x\r\nX-API-Key: {READ_KEY}{END}"
    yield f"GET /v1/developer/usage?application={key} HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}{END}"
    yield f"GET /v1/developer/usage?{key}=1 HTTP/1.1\r\nHost: x\r\nX-API-Key: {READ_KEY}{END}"
    yield f"GET /1/timeseries/{key}/{key}/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {READ_KEY}{END}"
    yield f"GET /api/alerts/{key} HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}{END}"
    yield f"GET /api/applications/{key} HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}{END}"
    body = json.dumps({"kind": key, "name": key, key: key})
    for content_type in ("application/json", key):
        yield (
            f"POST /api/keys HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}{END}{body}"
        )
        yield (
            f"POST /1/event/ HTTP/1.1\r\nHost: x\r\nX-API-Key: {WRITE_KEY}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body) + 2}{END}[{body}]"
        )
    yield f"{POST}X-API-Key: {WRITE_KEY}\r\nContent-Encoding: {key}\r\nContent-Length: 2{END}[]"
    yield f"{POST}X-API-Key: {WRITE_KEY}\r\nX-Batch-Id: {key * 9}\r\nContent-Length: 2{END}[]"
    yield f"{START}X-API-Key: {READ_KEY}\r\nX-Auth-User: {key}{END}"


def exchange(url, request):
    """Everything that is answered until the server ends the connection, or waits for the rest of what is half."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as connection:
        received = b""
        try:
            connection.sendall(request.encode("latin-1"))
            while piece := connection.recv(65536):
                received += piece
        except (ConnectionError, TimeoutError):
            pass
        return received


def check(answer, request):
    """An answer is one, and an error in the one shape; a connection may also just end."""
    secrets = [key[11:] for key in KEYS]
    assert not any(secret.encode() in answer for secret in secrets), (request, answer)
    assert not any(secret.upper().encode() in answer for secret in secrets), (request, answer)
    if not answer:
        return 0
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert b"HTTP/1." not in body, (request, answer)
    assert 400 <= status < 500, (request, answer)
    assert b"application/json" in head
    assert {"error", "message"} <= set(json.loads(body)), (request, answer)
    return status


def statuses(urls, requests):
    """Send each request to each service, and return the statuses; many are on their way at a time."""
    exchanges = list(itertools.product(urls, requests))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda made: check(exchange(*made), made[1]), exchanges))


@pytest.mark.parametrize("parser", ["C", "Python"])
def test_no_answer_and_no_log_line_repeats_a_key_or_a_byte_of_what_cannot_be_read(tmp_path, parser):
    without_extensions = {"AIOHTTP_NO_EXTENSIONS": "1"} if parser == "Python" else {}
    with running("serve", data_dir=tmp_path, **BOOTSTRAP, **without_extensions) as service:
        urls = (service.collector_url, service.query_url)
        before = service.output
        unreadable = [raw for key in KEYS for header in KEY_HEADERS for raw in in_a_header(header, key)]
        unreadable += [raw for key in KEYS for raw in anywhere_else(key)]
        answered = sum(status > 0 for status in statuses(urls, unreadable))
        statuses(urls, [raw for key in KEYS for raw in well_formed(key)])
        log = service.output.removeprefix(before)
    assert answered > 300
    assert not [line for line in log.splitlines() if any(key[11:].lower() in line.lower() for key in KEYS)]
    assert "Traceback" not in log
    lines = [line for line in log.splitlines() if "could not be read" in line]
    assert 1 <= len(lines) < 30
