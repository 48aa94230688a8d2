"""Hold the settings of the query service."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True)
class SmtpSettings:
    """The SMTP server for e-mail; without a host nothing is sent."""

    host: str = ""
    port: int = 587
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    security: Security = "starttls"


@dataclass(frozen=True)
class LiveLimits:
    """The bounds of live streams (`GET /v1/events/live`) in one process."""

    streams: int = 20
    """Streams at once; the next gets a 503."""

    @property
    def streams_of_one(self) -> int:
        """Return the streams that one organization may have at once: a quarter is left to the others."""
        return max(1, self.streams - self.streams // 4)

    events_per_s: int = 50
    """Events that one client gets for each second."""

    rows: int = 5_000
    """The newest events that one poll reads, and that are kept for clients that come back."""

    result_bytes: int = 8 * 1024**2
    """The size of the events of one poll, as the store has them."""

    kept_bytes: int = 64 * 1024**2
    """The memory for events that are kept for clients that come back, in equal parts for the applications that are
    looked at."""

    look_back_s: int = 60
    """A poll reads the events of so many seconds, and a client that comes back gets them."""

    poll_s: float = 1.0
    """Between two polls, and between two checks of a stream."""

    heartbeat_s: float = 15.0
    """Between two comments, which keep proxies from closing a silent stream."""

    longest_s: float = 900.0
    """After so many seconds a stream ends."""

    patience_s: float = 10.0
    """A client that takes nothing for so many seconds is cut off."""


@dataclass(frozen=True)
class QuerySettings:
    """The settings of the query service. The caller of `create_app` makes them once.

    An operator sets what `apimetry.cli.running.query_settings` passes. The other limits are the service's own: they
    depend on each other and on the bounds in docs/security.md, so that no option changes one of them alone.
    """

    allowed_origins: tuple[str, ...] = ("*",)
    """Origins whose pages may read responses. ``*`` lets every page read with a key, and no page change anything."""

    public_url: str | None = None
    """Address of this service for people, without a slash at its end; alerts link to it. None: not known."""

    collector_url: str | None = None
    """Address of the collector for host applications; pages show it. None: not known."""

    trace_url: str | None = None
    """Address of a trace in another tool, with `{trace_id}`; pages link to it. None: no links."""

    max_points: int = 100_000
    """Points in one timeseries response, over all its groups: about 2 MB of JSON."""

    max_groups: int = 10_000
    """Groups in one timeseries response."""

    max_query_time_s: float = 30.0
    """Time that the engine may spend on one statement."""

    max_query_memory_bytes: int = 2 * 1024**3
    """Memory that the engine may use for one statement."""

    max_query_result_bytes: int = 160 * 1024**2
    """Size of one statement's rows, as the store sends them: room for a page of the largest events."""

    max_ready_time_s: float = 3.0
    """The service is ready if the store answers within this time. Shorter than the timeout of usual probes."""

    max_waiting_queries: int = 256
    """Queries that wait for a thread of the store: at most half of them of one organization, a quarter of one key.
    The next query gets a 503."""

    max_queue_time_s: float = 15.0
    """Time that a query may wait for a thread of the store. A query that waited as long, or would, gets a 503."""

    remembered_bytes: int = 64 * 1024**2
    """Memory for rows of answered queries, which are used again while no event of their range changes."""

    max_exports: int = 4
    """Exports at once, each of which may use a whole core: one organization gets one less, one key half of them."""

    max_waiting_exports: int = 32
    """Exports that wait: at most half of them of one organization, a quarter of one key."""

    max_export_queue_time_s: float = 15.0
    """Time that an export may wait before it gets a 503."""

    min_export_bytes_per_s: int = 16 * 1024
    """Rate at which an export's client must read, on average."""

    max_export_behind_s: float = 60.0
    """Seconds that an export's client may be behind that rate. A client that is further behind is cut off."""

    live: LiveLimits = field(default_factory=LiveLimits)
    """The bounds of live streams."""

    max_deletion_wait_s: float = 10.0
    """Time after which a deletion gets its response, also if it still goes on."""

    max_body_bytes: int = 64 * 1024
    """Body of a management request."""

    compress_over_bytes: int = 1400
    """Responses longer than this (one network packet) are compressed for clients that accept it."""

    plan_changes: bool = True
    """Whether an admin key may change its organization's plan. False if you run the service for others."""

    evaluate_alerts: bool = True
    """Whether this service takes its turn in evaluating alert rules."""

    allow_private_webhooks: bool = False
    """Whether alerts' webhooks may go to private, loopback and link-local addresses."""

    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    """The server by which alerts go out as e-mail."""

    price_per_request: float = 0.001
    """The cost of a request, in any currency, for the insights."""

    price_per_byte: float = 0.000001
    """The cost of a byte of a request or a response."""

    def __post_init__(self) -> None:
        counts = ("max_points", "max_groups", "max_waiting_queries", "max_exports", "max_waiting_exports")
        for name in (*counts, "min_export_bytes_per_s", "max_body_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("price_per_request", "price_per_byte"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
