"""Post a batch to the collector and interpret the response. For the exporter's thread alone."""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from apimetry.middleware.options import locate_ingest
from apimetry.middleware.wire import CONTENT_TYPE

if TYPE_CHECKING:
    from apimetry.middleware.options import Options

GZIP_FROM_BYTES: Final = 1024
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""Hosts that need no network: compression for them costs processor time and saves nothing."""
_FIRST_ATTEMPT: Final = {"X-Batch-Attempt": "1"}
MAX_RETRY_AFTER_S: Final = 600.0
_MAX_RESPONSE_BYTES: Final = 64 * 1024
_MAX_REASON_CHARACTERS: Final = 200
_UNPRINTABLE: Final = re.compile(r"[^ -~]+")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a post: a status and its reason, or 0 and the transport's error."""

    status: int
    reason: str = ""
    retry_after_s: float | None = None
    rejected: int = 0

    @property
    def is_success(self) -> bool:
        """Return whether the collector has the batch on disk."""
        return 200 <= self.status < 300

    @property
    def is_retryable(self) -> bool:
        """Return whether a retry makes sense: after a transport error, 408, 429 or 5xx, and after nothing else."""
        return self.status in (0, 408, 429) or self.status >= 500


class Connection:
    """Keep a connection to the collector alive. Not thread-safe; one per exporter thread.

    Attributes:
        address: the URL that batches are posted to, for log lines.
    """

    def __init__(self, options: Options) -> None:
        self.address = locate_ingest(options.collector_url)
        parts = urlsplit(self.address)
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path
        self._is_remote = self._host not in _LOOPBACK
        self._key = options.write_key
        self._http: http.client.HTTPConnection | None = None

    def post(self, body: bytes, batch_id: bytes, timeout_s: float, *, is_first: bool = False) -> Outcome:
        """Send one encoded batch; faults of the network or the collector are outcomes, never exceptions.

        `is_first` says that no process ever sent this batch: the collector then need not look for another copy of it.
        """
        headers = {
            "Content-Type": CONTENT_TYPE,
            "X-API-Key": self._key,
            "X-Batch-Id": batch_id.hex(),
            "User-Agent": "apimetry-python",
        }
        if self._is_remote and len(body) >= GZIP_FROM_BYTES:
            body = compress(body)
            headers["Content-Encoding"] = "gzip"
        was_open = self._http is not None
        outcome = self._exchange(body, {**headers, **_FIRST_ATTEMPT} if is_first else headers, timeout_s)
        if outcome.status == 0 and was_open:
            # The collector may have closed an idle connection: try a new connection at once.
            outcome = self._exchange(body, headers, timeout_s)
        return outcome

    def close(self) -> None:
        """Close the connection; the next `post` opens another."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _exchange(self, body: bytes, headers: dict[str, str], timeout_s: float) -> Outcome:
        try:
            connection = self._open(timeout_s)
            connection.request("POST", self._path, body, headers)
            with connection.getresponse() as response:
                content = response.read(_MAX_RESPONSE_BYTES)
                if not response.isclosed() or response.will_close:
                    self.close()
                document = _read_json(content)
                return Outcome(
                    response.status,
                    self._clean(_find_reason(document) or response.reason),
                    parse_retry_after(response.headers.get("Retry-After"), time.time()),
                    _read_rejected(document) if response.status < 300 else 0,
                )
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Outcome(0, self._clean(f"{type(error).__name__}: {error}"))

    def _clean(self, text: str) -> str:
        """Return a foreign text as a part of a log line: printable, short, without the key."""
        return _UNPRINTABLE.sub(" ", text[: 8 * _MAX_REASON_CHARACTERS].replace(self._key, "***"))[
            :_MAX_REASON_CHARACTERS
        ]

    def _open(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._http is None:
            kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
            self._http = kind(self._host, self._port, timeout=timeout_s)
        elif self._http.sock is not None:
            self._http.sock.settimeout(timeout_s)
        return self._http


def compress(body: bytes) -> bytes:
    """Compress to gzip, level 1, without a timestamp: a retry has the same bytes."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return compressor.compress(body) + compressor.flush()


def parse_retry_after(value: str | None, now_s: float) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date (RFC 9110, 10.2.3); None when absent or unreadable."""
    if not value:
        return None
    try:
        delay_s = float(int(value))
    except ValueError:
        try:
            delay_s = email.utils.parsedate_to_datetime(value).timestamp() - now_s
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(delay_s, 0.0), MAX_RETRY_AFTER_S)


def _read_json(content: bytes) -> dict[str, object]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _find_reason(document: dict[str, object]) -> str:
    """Return the reason in a response: its message, or the message of its first detail."""
    details = document.get("details")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    reason = document.get("message") or first.get("message")
    return reason if isinstance(reason, str) else ""


def _read_rejected(document: dict[str, object]) -> int:
    rejected = document.get("rejected", 0)
    return rejected if isinstance(rejected, int) else 0
