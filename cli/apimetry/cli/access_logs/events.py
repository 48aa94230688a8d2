"""A line of a log as an event of the collector's JSON format. Pure.

What leaves the log is what leaves an app with the middleware: no values of query strings, no addresses, users or
user agents unless asked for. The identity of a line, and so of its event, is its text and how often the same text
stood before it in the same hour of the same file; it is kept in the event's `data`.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from apimetry.cli.access_logs.lines import US_PER_S, LogLine
from apimetry.middleware.privacy import public_address, public_url

IMPORT_ID = "import_id"
HOUR_S = 3600
# Lines of parallel requests are out of order by seconds: two hours are enough, the third is for leap seconds of care.
_HOURS_OF_REPEATS = 3
_ID_BYTES = 8
_IDENTIFIER = re.compile(
    r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}"
    r"|(?=[^/]*\d)[A-Za-z0-9_-]{20,}"
)
_MAX_RESPONSE_US = 2**40 - 1


@dataclass(frozen=True)
class Choices:
    """What is kept of a line."""

    source: str
    urls: str = "masked"
    client_ip: str = "off"
    users: bool = False
    user_agents: bool = False


class LineIds:
    """Names the lines of one file. Mutable: which texts it has seen in the last hours."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, Counter[bytes]] = OrderedDict()

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


def make_event(line: LogLine, line_id: str, choices: Choices) -> dict[str, object]:
    """Return the event of a line."""
    path, _, query = line.target.partition("?")
    event: dict[str, object] = {
        "timestamp": line.time_us / US_PER_S,
        "method": line.method,
        "url": public_url(path, query, choices.urls),
        "route": guess_route(path) if line.status != 404 else "",
        "response_us": min(max(0, line.response_us or 0), _MAX_RESPONSE_US),
        "status_code": line.status,
        "response_bytes": line.response_bytes,
        "request_bytes": line.request_bytes,
        "source": choices.source,
        "client_ip": public_address(line.address, choices.client_ip),
        "data": {IMPORT_ID: line_id},
    }
    if choices.users:
        event["consumer_id"] = line.user[:256]
    if choices.user_agents:
        event["user_agent"] = line.user_agent[:512]
    return event


def guess_route(path: str) -> str:
    """Return the path with `{id}` for every segment that looks like an identifier: logs know no routes."""
    if "://" in path:
        path = "/" + path.split("://", 1)[1].partition("/")[2]
    segments = ("{id}" if _IDENTIFIER.fullmatch(segment) else segment for segment in path.split("/"))
    return "/".join(segments)[:1024]
