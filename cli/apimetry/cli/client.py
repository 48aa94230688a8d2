"""The one HTTP client of every command.

It follows no redirect, since the key would go along, and it uses no proxy for the machine it runs on. An error names
the service, the address that was asked, and the reason.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

import click

from apimetry.cli.output import one_line, warn

TIMEOUT_S: Final = 60.0
# Under the day for which the collector recognizes a batch that it has taken.
PATIENCE_S: Final = 300.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_PAGE: Final = 100
_MAX_ERROR_BYTES: Final = 65_536
_SHOWN_CHARACTERS: Final = 200
_ASKED_OF_ANYBODY: Final = frozenset({"/health", "/ready"})

COLLECTOR: Final = "collector"
QUERY: Final = "query service"
_NAMES: Final = {"collector": COLLECTOR, "query": QUERY}


@dataclass(frozen=True)
class Response:
    """What came back; status 0 where nothing did, and `problem` says why."""

    status: int
    headers: Message = field(default_factory=Message)
    body: bytes = b""
    problem: str = ""

    @property
    def content(self) -> Any:  # noqa: ANN401 - JSON
        """Return the body read as JSON, None where it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def message(self) -> str:
        """Return what an error says, in one line."""
        if self.problem:
            return self.problem
        content = self.content
        if isinstance(content, dict) and isinstance(content.get("message"), str):
            # A line break would let a stranger write lines of ours.
            return one_line(f"{content.get('error', self.status)}: {content['message']}")
        if 300 <= self.status < 400:
            place = self.headers.get("Location", "elsewhere")
            return f"it answered {self.status} and points to {place}; redirects are not followed: give that address"
        return f"it answered {self.status} {_phrase(self.status)}".rstrip()


class Client:
    """One service at `url`, spoken to with `key`.

    Args:
        service: COLLECTOR or QUERY.
        url: its address, without the last slash.
        key: the key that every request carries; none where it is empty.
        patience_s: for how long `call` tries again what may pass.
        timeout_s: for how long one answer may keep silent.
        sleep: waits between two attempts.
    """

    def __init__(  # noqa: PLR0913 - what a connection is
        self,
        service: str,
        url: str,
        key: str = "",
        *,
        patience_s: float = 0.0,
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.url = url.rstrip("/")
        self._key = key
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._opener = _opener(self.url)

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
    ) -> Response:
        """Return the response to one attempt, whatever it is; raises nothing."""
        carried = {**({"X-API-Key": self._key} if self._key else {}), **(headers or {})}
        if body is not None:
            carried.setdefault("Content-Type", "application/json")
        try:
            request = urllib.request.Request(  # noqa: S310 - the opener knows http and https only
                f"{self.url}{path}", data=body, headers=carried, method=method
            )
            with self._opener.open(request, timeout=self._timeout_s) as response:
                # What is asked of anybody is bounded: another service may send without end.
                limit = _MAX_ERROR_BYTES if path in _ASKED_OF_ANYBODY else None
                return Response(response.status, response.headers, response.read(limit))
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.headers, _head_of(error))
        except (OSError, HTTPException, ValueError) as error:
            return Response(0, problem=_problem(error, self._timeout_s))

    def call(
        self,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
    ) -> tuple[bytes, Message]:
        """Return the body and the headers of a good response; what may pass is tried again for `patience_s`.

        Raises:
            click.ClickException: the service refused, or could not be reached.
        """
        began_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            response = self.ask(path, body, headers, method=method)
            if 200 <= response.status < 300:
                return response.body, response.headers
            wait_s = _retry_after_s(response.headers, pause_s)
            may_pass = response.status in _RETRIED or not response.status
            if not may_pass or time.monotonic() - began_s + wait_s > self._patience_s:
                raise click.ClickException(self._refusal(response))
            if pause_s == _FIRST_PAUSE_S:
                warn(f"{self._refusal(response)}; it is tried again for {self._patience_s:g} s")
            self._sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def call_json(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object of a good response; an empty one where there is no body.

        Raises:
            click.ClickException: as in `call`, or the answer is not a JSON object.
        """
        given = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer, _ = self.call(path, given, headers, method=method)
        if not answer:
            return {}
        content = Response(200, body=answer).content
        if not isinstance(content, dict):
            raise click.ClickException(self.not_ours())
        return content

    def rows(self, path: str, member: str) -> Iterator[dict[str, object]]:
        """Yield every row of a list that comes in pages."""
        offset, more = 0, True
        while more:
            page = self.call_json("GET", f"{path}?limit={_PAGE}&offset={offset}")
            try:
                rows, more = page[member], page["pagination"]["hasMore"]
            except (KeyError, TypeError):
                raise click.ClickException(self.not_ours()) from None
            yield from rows
            offset += _PAGE

    def require(self) -> None:
        """Raise click.ClickException where something else than the service answers, or nothing does."""
        health = self.ask("/health")
        if not health.status:
            raise click.ClickException(self._refusal(health))
        found = identity_of(health)
        if found != self.service:
            raise click.ClickException(self._mistaken(found) if found else self.not_ours())

    def identity(self) -> str | None:
        """Return which service answers here: COLLECTOR, QUERY, or None for another one or none."""
        return identity_of(self.ask("/health"))

    def not_ours(self) -> str:
        """Return what an answer means that no such service gives."""
        return f"{self.url} answers, but not as apimetry's {self.service}; {advice_on_address(self.service)}"

    def _mistaken(self, found: str) -> str:
        return f"{self.url} is the {found}, not the {self.service}; {advice_on_address(self.service)}"

    def _refusal(self, response: Response) -> str:
        if not response.status:
            return f"no {self.service} at {self.url}: {response.problem}"
        if response.status in (404, 405):
            found = self.identity()
            if found is None:
                return self.not_ours()
            if found != self.service:
                return self._mistaken(found)
        return f"the {self.service} at {self.url}: {response.message}"


def advice_on_address(service: str) -> str:
    """Return what to do where a service's address is wrong."""
    name = "collector" if service == COLLECTOR else "query"
    return f"give the {service}'s address as --{name}-url or APIMETRY_{name.upper()}_URL"


def identity_of(health: Response) -> str | None:
    """Return which service gave this answer to ``/health``: COLLECTOR, QUERY, or None for a foreign one."""
    content = health.content
    return _NAMES.get(str(content.get("service"))) if isinstance(content, dict) else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an answer like any other."""

    def redirect_request(self, *_: object) -> None:
        """Return no request to follow."""


def _opener(url: str) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    handlers = [urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler]
    proxies: dict[str, str] | None = {} if is_this_machine(urlsplit(url).hostname or "") else None
    for handler in (urllib.request.ProxyHandler(proxies), _NoRedirect(), urllib.request.HTTPErrorProcessor()):
        opener.add_handler(handler)
    for kind in handlers:
        opener.add_handler(kind())
    return opener


def is_this_machine(host: str) -> bool:
    """Return whether a host is the machine itself, by its name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _head_of(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_MAX_ERROR_BYTES)
    except (OSError, HTTPException):
        return b""


def _retry_after_s(headers: Message, pause_s: float) -> float:
    given = headers.get("Retry-After") or ""
    return float(given) if given.isdecimal() else pause_s


def _problem(error: Exception, timeout_s: float) -> str:
    reason = getattr(error, "reason", None) or error
    known: tuple[tuple[type[Exception], str], ...] = (
        (ConnectionRefusedError, "connection refused; nothing listens there"),
        (TimeoutError, f"no answer within {timeout_s:g} s"),
        (socket.gaierror, "the name of its host cannot be resolved"),
        (ssl.SSLCertVerificationError, "its certificate cannot be verified"),
        (ssl.SSLError, "it does not speak TLS; is its address http:// instead of https://?"),
        (ConnectionError, "it closed the connection without an answer"),
        (HTTPException, "it does not answer in HTTP"),
        # Its own text would repeat the key.
        (ValueError, "its address or the key has characters that HTTP does not carry"),
    )
    for kind, text in known:
        if isinstance(reason, kind):
            return text
    return str(reason)[:_SHOWN_CHARACTERS]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
