"""A line of a log as an event of the collector's JSON format. Pure.

What leaves the log is what leaves an app with the middleware: no values of query strings, no addresses, users or
user agents unless asked for, and secrets in paths masked, in the URL and in the route. The identity of a line, and so
of its event, is its text and how often the same text stood before it in the same hour of the same file; it is kept in
the event's `data`.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from apimetry.cli.access_logs.durations import LONGEST_US
from apimetry.cli.access_logs.lines import US_PER_S, LogLine
from apimetry.middleware.masking import MASK, mask_path
from apimetry.middleware.privacy import public_address, public_url
from apimetry.middleware.routes import UNMATCHED
from apimetry.middleware.wire import bound_method

IMPORT_ID = "import_id"
HOUR_S = 3600
# Lines of parallel requests are out of order by seconds: two hours are enough, the third is for leap seconds of care.
_HOURS_OF_REPEATS = 3
_ID_BYTES = 8
_MAX_PATH_CHARACTERS = 4096
_IDENTIFIER = re.compile(
    r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}"
)
_LONG_NAME = re.compile(r"[A-Za-z0-9_-]{20,}")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class Choices:
    """What is kept of a line."""

    source: str
    urls: str = "masked"
    client_ip: str = "off"
    users: bool = False
    user_agents: bool = False


class LineIds:
    """Names the lines of one file. Mutable: which texts it has seen in the last hours, and what came before."""

    def __init__(self, salt: bytes = b"") -> None:
        self._seen: OrderedDict[int, Counter[bytes]] = OrderedDict()
        self._before = salt

    def name(self, line: bytes, hour: int) -> str:
        """Return the line's id: 16 hex digits, the same for the same line in every copy of the file."""
        digest = blake2b(line, digest_size=_ID_BYTES).digest()
        seen = self._seen.get(hour)
        if seen is None:
            seen = self._seen[hour] = Counter()
            if len(self._seen) > _HOURS_OF_REPEATS:
                self._seen.popitem(last=False)
        repeats = seen[digest]
        seen[digest] = repeats + 1
        if not repeats:
            return digest.hex()
        return blake2b(digest + repeats.to_bytes(8, "big"), digest_size=_ID_BYTES).hexdigest()

    def pass_by(self, line: bytes) -> None:
        """Take note of a line, of whatever kind: it is part of the place of those after it."""
        self._before = blake2b(self._before + line, digest_size=2 * _ID_BYTES).digest()

    def name_by_place(self) -> str:
        """Return the id of the line passed by last: by all lines before it in the file.

        Lines without a time are often alike to the letter, so their text alone does not tell them apart.
        """
        return self._before[:_ID_BYTES].hex()


def make_event(line: LogLine, time_us: int, line_id: str, choices: Choices) -> dict[str, object]:
    """Return the event of a line; its route is a guess."""
    path, _, query = line.target.partition("?")
    data = {IMPORT_ID: line_id}
    method, text = bound_method(line.method)
    if text:
        data["method"] = text
    event: dict[str, object] = {
        "timestamp": time_us / US_PER_S,
        "method": method,
        "url": public_url(path, query, choices.urls),
        "route": guess_route(path) if line.status != 404 and line.target else UNMATCHED,
        "status_code": line.status,
        "response_bytes": line.response_bytes,
        "request_bytes": line.request_bytes,
        "source": choices.source,
        "client_ip": public_address(line.address, choices.client_ip),
        "data": data,
    }
    if line.response_us is not None:
        event["response_us"] = line.response_us
    if choices.users:
        event["consumer_id"] = line.user[:256]
    if choices.user_agents:
        event["user_agent"] = line.user_agent[:512]
    return event


def is_plausible(response_us: int) -> bool:
    """Tell whether a response may have taken so long."""
    return 0 <= response_us <= LONGEST_US


def guess_route(path: str) -> str:
    """Return the masked path with `{id}` for what is masked or looks like an identifier: logs know no routes."""
    if len(path) > _MAX_PATH_CHARACTERS:
        path = path[:_MAX_PATH_CHARACTERS].rpartition("/")[0]
    segments = ("{id}" if _is_identifier(segment) else segment for segment in mask_path(path).split("/"))
    return "/".join(segments)[:1024]


def _is_identifier(segment: str) -> bool:
    if MASK in segment or _IDENTIFIER.fullmatch(segment):
        return True
    return _LONG_NAME.fullmatch(segment) is not None and _DIGIT.search(segment) is not None
