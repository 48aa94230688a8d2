"""Make an event of the collector's JSON format from a line of a log. Pure.

An event has what the middleware sends from an app. It has no values of query strings. It has addresses, users and
user agents only where the options say so. Secrets in paths are masked in the URL and in the route. The id of a line
is made from its text, and from the number of equal lines before it in the same hour of the same file. The event
carries the id in `data`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from apimetry.cli.access_logs.durations import LONGEST_US
from apimetry.cli.access_logs.lines import US_PER_S, LogLine
from apimetry.collector.formats.guessed_routes import guess_route
from apimetry.middleware.privacy import public_address, public_url
from apimetry.middleware.routes import UNMATCHED
from apimetry.middleware.wire import bound_method

IMPORT_ID = "import_id"
HOUR_S = 3600
# Lines of parallel requests are out of order by seconds, so two hours are enough. The third hour is a reserve.
_HOURS_OF_REPEATS = 3
_ID_BYTES = 8


@dataclass(frozen=True)
class EventOptions:
    """The source of the events, and the private parts of a line that an event has."""

    source: str
    urls: str = "masked"
    client_ip: str = "off"
    users: bool = False
    user_agents: bool = False


class LineIds:
    """Make the ids of the lines of one file.

    Mutable state: the texts of the last hours with their counts, and a digest of all lines so far.
    """

    def __init__(self, salt: bytes = b"") -> None:
        self._counts: OrderedDict[int, Counter[bytes]] = OrderedDict()
        self._digest = salt

    def name(self, line: bytes, hour: int) -> str:
        """Return the line's id: 16 hex digits, the same for the same line in every copy of the file."""
        digest = blake2b(line, digest_size=_ID_BYTES).digest()
        counts = self._counts.get(hour)
        if counts is None:
            counts = self._counts[hour] = Counter()
            if len(self._counts) > _HOURS_OF_REPEATS:
                self._counts.popitem(last=False)
        repeats = counts[digest]
        counts[digest] = repeats + 1
        if not repeats:
            return digest.hex()
        return blake2b(digest + repeats.to_bytes(8, "big"), digest_size=_ID_BYTES).hexdigest()

    def pass_by(self, line: bytes) -> None:
        """Add a line, of any kind, to the digest that identifies the place of later lines."""
        self._digest = blake2b(self._digest + line, digest_size=2 * _ID_BYTES).digest()

    def name_by_place(self) -> str:
        """Return an id of the line that was passed last; it is made from all lines of the file up to this one.

        Lines without a time are often equal, so their text alone does not identify them.
        """
        return self._digest[:_ID_BYTES].hex()


def make_event(line: LogLine, time_us: int, line_id: str, options: EventOptions) -> dict[str, object]:
    """Return the event of a line; its route is guessed from the path."""
    path, _, query = line.target.partition("?")
    data = {IMPORT_ID: line_id}
    method, text = bound_method(line.method)
    if text:
        data["method"] = text
    event: dict[str, object] = {
        "timestamp": time_us / US_PER_S,
        "method": method,
        "url": public_url(path, query, options.urls),
        "route": guess_route(path) if line.status != 404 and line.target else UNMATCHED,
        "status_code": line.status,
        "response_bytes": line.response_bytes,
        "request_bytes": line.request_bytes,
        "source": options.source,
        "client_ip": public_address(line.address, options.client_ip),
        "data": data,
    }
    if line.response_us is not None:
        event["response_us"] = line.response_us
    if options.users:
        event["consumer_id"] = line.user[:256]
    if options.user_agents:
        event["user_agent"] = line.user_agent[:512]
    return event


def is_plausible(response_us: int) -> bool:
    """Return whether a response time is possible."""
    return 0 <= response_us <= LONGEST_US
