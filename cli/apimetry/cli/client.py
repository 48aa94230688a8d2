"""The one HTTP client of every command.

It follows no redirect, because the key would be sent to the new address. It uses no proxy for this machine. An error
names the service, its address, and the reason.
"""

from __future__ import annotations

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
from http.client import HTTPException, HTTPResponse
from typing import Any, Final

import click

from apimetry.cli.opener import make_opener
from apimetry.cli.output import one_line, warn

TIMEOUT_S: Final = 60.0
# Below one day: for a day the collector recognizes a batch that it has accepted.
PATIENCE_S: Final = 300.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
_PAGE_ROWS: Final = 100
_MAX_ERROR_BYTES: Final = 65_536
_SHOWN_CHARACTERS: Final = 200
_UNTRUSTED_PATHS: Final = frozenset({"/health", "/ready"})

COLLECTOR: Final = "collector"
QUERY: Final = "query service"
_NAMES: Final = {"collector": COLLECTOR, "query": QUERY}


@dataclass(frozen=True)
class Response:
    """An HTTP response. Without one, `status` is 0 and `problem` is the reason."""

    status: int
    headers: Message = field(default_factory=Message)
    body: bytes = b""
    problem: str = ""
    stream: HTTPResponse | None = None
    """The body of a response that is read as it comes."""

    @property
    def content(self) -> Any:  # noqa: ANN401 - JSON
        """Return the decoded JSON body; None where the body is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def message(self) -> str:
        """Return the error message in one line."""
        if self.problem:
            return self.problem
        content = self.content
        if isinstance(content, dict) and isinstance(content.get("message"), str):
            # A line break in the message would let a foreign service forge lines of our output.
            return one_line(f"{content.get('error', self.status)}: {content['message']}")
        if 300 <= self.status < 400:
            location = self.headers.get("Location", "elsewhere")
            return (
                f"it answered {self.status} and points to {location}; redirects are not followed: give that address"
            )
        return f"it answered {self.status} {_phrase(self.status)}".rstrip()


class Client:
    """Send requests to one service.

    Args:
        service: COLLECTOR or QUERY.
        url: the service's address.
        key: the key of every request; empty for none.
        patience_s: how long `call` repeats a request after a transient failure.
        timeout_s: the longest silence on a connection.
        sleep: waits between two attempts.
    """

    def __init__(  # noqa: PLR0913 - the settings of a connection
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
        self._opener = make_opener(self.url)

    def request(
        self,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
    ) -> Response:
        """Return the response to one attempt, also one that is an error; raise nothing."""
        return self._attempt(path, body, headers, method=method)

    def _attempt(
        self,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
        streams: bool = False,
    ) -> Response:
        sent_headers = {**({"X-API-Key": self._key} if self._key else {}), **(headers or {})}
        if body is not None:
            sent_headers.setdefault("Content-Type", "application/json")
        try:
            request = urllib.request.Request(  # noqa: S310 - the opener knows http and https only
                f"{self.url}{path}", data=body, headers=sent_headers, method=method
            )
            response = self._opener.open(request, timeout=self._timeout_s)
            if streams:
                return Response(response.status, response.headers, stream=response)
            with response:
                # Any service may answer on these paths, and a foreign one may send an endless body.
                limit = _MAX_ERROR_BYTES if path in _UNTRUSTED_PATHS else None
                return Response(response.status, response.headers, response.read(limit))
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.headers, _error_body(error))
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
        """Return the body and the headers of a 2xx response; repeat after transient failures for `patience_s`.

        Raises:
            click.ClickException: the service refused the request, or could not be reached.
        """
        response = self._repeat(lambda: self._attempt(path, body, headers, method=method))
        return response.body, response.headers

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """Return the body of a 2xx response, which the caller reads as it comes and closes; repeat as `call` does.

        Raises:
            click.ClickException: as in `call`, or the response is not a stream of events.
        """
        response = self._repeat(lambda: self._attempt(path, headers=headers, streams=True))
        if response.stream is None or response.headers.get_content_type() != "text/event-stream":
            raise click.ClickException(self.foreign_message())
        return response.stream

    def _repeat(self, attempt: Callable[[], Response]) -> Response:
        """Return the first 2xx response; repeat after transient failures for `patience_s`."""
        began_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            response = attempt()
            if 200 <= response.status < 300:
                return response
            wait_s = _retry_after_s(response.headers, pause_s)
            is_transient = response.status in _RETRIED_STATUSES or not response.status
            if not is_transient or time.monotonic() - began_s + wait_s > self._patience_s:
                raise click.ClickException(self._failure_message(response))
            if pause_s == _FIRST_PAUSE_S:
                warn(f"{self._failure_message(response)}; it is tried again for {self._patience_s:g} s")
            self._sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def call_json(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object of a 2xx response; an empty object where the response has no body.

        Raises:
            click.ClickException: as in `call`, or the response is not a JSON object.
        """
        encoded = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        response_body, _ = self.call(path, encoded, headers, method=method)
        if not response_body:
            return {}
        content = Response(200, body=response_body).content
        if not isinstance(content, dict):
            raise click.ClickException(self.foreign_message())
        return content

    def rows(self, path: str, member: str) -> Iterator[dict[str, object]]:
        """Yield every row of a list that the service returns in pages."""
        offset, more = 0, True
        while more:
            page = self.call_json("GET", f"{path}?limit={_PAGE_ROWS}&offset={offset}")
            try:
                rows, more = page[member], page["pagination"]["hasMore"]
            except (KeyError, TypeError):
                raise click.ClickException(self.foreign_message()) from None
            yield from rows
            offset += _PAGE_ROWS

    def require(self) -> None:
        """Raise click.ClickException where the service does not answer, or another service does."""
        health = self.request("/health")
        if not health.status:
            raise click.ClickException(self._failure_message(health))
        identity = identity_of(health)
        if identity != self.service:
            raise click.ClickException(self._mistaken_message(identity) if identity else self.foreign_message())

    def identity(self) -> str | None:
        """Return which service answers here: COLLECTOR, QUERY, or None for a foreign service or no response."""
        return identity_of(self.request("/health"))

    def foreign_message(self) -> str:
        """Return the error message for a response that the service never sends."""
        return f"{self.url} answers, but not as apimetry's {self.service}; {advice_on_address(self.service)}"

    def _mistaken_message(self, identity: str) -> str:
        return f"{self.url} is the {identity}, not the {self.service}; {advice_on_address(self.service)}"

    def _failure_message(self, response: Response) -> str:
        if not response.status:
            return f"no {self.service} at {self.url}: {response.problem}"
        if response.status in (404, 405):
            identity = self.identity()
            if identity is None:
                return self.foreign_message()
            if identity != self.service:
                return self._mistaken_message(identity)
        return f"the {self.service} at {self.url}: {response.message}"


def advice_on_address(service: str) -> str:
    """Return the advice for a wrong address of a service."""
    name = "collector" if service == COLLECTOR else "query"
    return f"give the {service}'s address as --{name}-url or APIMETRY_{name.upper()}_URL"


def identity_of(health: Response) -> str | None:
    """Return which service sent this response to ``/health``: COLLECTOR, QUERY, or None for a foreign service."""
    content = health.content
    return _NAMES.get(str(content.get("service"))) if isinstance(content, dict) else None


def _error_body(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_MAX_ERROR_BYTES)
    except (OSError, HTTPException):
        return b""


def _retry_after_s(headers: Message, pause_s: float) -> float:
    value = headers.get("Retry-After") or ""
    return float(value) if value.isdecimal() else pause_s


def _problem(error: Exception, timeout_s: float) -> str:
    reason = getattr(error, "reason", None) or error
    messages: tuple[tuple[type[Exception], str], ...] = (
        (ConnectionRefusedError, "connection refused; nothing listens there"),
        (TimeoutError, f"no answer within {timeout_s:g} s"),
        (socket.gaierror, "the name of its host cannot be resolved"),
        (ssl.SSLCertVerificationError, "its certificate cannot be verified"),
        (ssl.SSLError, "it does not speak TLS; is its address http:// instead of https://?"),
        (ConnectionError, "it closed the connection without an answer"),
        (HTTPException, "it does not answer in HTTP"),
        # The error's own text contains the key.
        (ValueError, "its address or the key has characters that HTTP does not carry"),
    )
    for kind, text in messages:
        if isinstance(reason, kind):
            return text
    return str(reason)[:_SHOWN_CHARACTERS]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
