"""The query service's settings; each of them is used."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True)
class SmtpSettings:
    """The server that takes messages; without a host nothing is sent."""

    host: str = ""
    port: int = 587
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    security: Security = "starttls"


@dataclass(frozen=True)
class QuerySettings:
    """What the query service allows. Made once, by whoever starts it."""

    allowed_origins: tuple[str, ...] = ("*",)
    """Origins whose pages may read answers. ``*`` lets any page read with a key, and none change anything."""

    max_points: int = 100_000
    """Points in one timeseries answer, over all its groups: about 2 MB of JSON."""

    max_groups: int = 10_000
    """Groups in one timeseries answer."""

    max_query_time_s: float = 30.0
    """Time that the engine may spend on one statement."""

    max_query_memory_bytes: int = 2 * 1024**3
    """Memory that the engine may use for one statement."""

    max_ready_time_s: float = 3.0
    """Time in which the store must answer for the service to be ready: less than a probe's patience."""

    max_waiting_queries: int = 256
    """Questions that wait for a thread of the store: half of them of one organization, a quarter of one key. The next
    one is answered 503."""

    max_queue_time_s: float = 60.0
    """Time that a question may wait for a thread of the store before it is answered 503."""

    max_exports: int = 4
    """Exports under way, each of which may keep a core busy; one organization has one less, one key half of them."""

    max_waiting_exports: int = 32
    """Exports that wait for one of these to end, shared out like the questions that wait."""

    max_export_queue_time_s: float = 15.0
    """Time that an export may wait before it is answered 503."""

    min_export_bytes_per_s: int = 16 * 1024
    """Rate at which an export's client must read. What it falls behind is counted in seconds."""

    max_export_behind_s: float = 60.0
    """Seconds that an export's client may fall behind that rate; one that does is cut off."""

    max_deletion_wait_s: float = 10.0
    """Time in which a deletion is answered: when it is done, or at the latest then, while it goes on."""

    max_body_bytes: int = 64 * 1024
    """Body of a management request."""

    compress_over_bytes: int = 1400
    """Answers longer than this (one network packet) are compressed for clients that accept it."""

    plan_changes: bool = True
    """Whether an admin key may change its organization's plan: no, where the service is run for others."""

    evaluate_alerts: bool = True
    """Whether this service takes its turn in evaluating alert rules."""

    allow_private_webhooks: bool = False
    """Whether alerts' webhooks may go to private, loopback and link-local addresses."""

    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    """The server by which alerts go out as e-mail."""

    price_per_request: float = 0.001
    """What a request costs, in whatever currency, for the costs among the insights."""

    price_per_byte: float = 0.000001
    """What a byte of a request or an answer costs."""

    def __post_init__(self) -> None:
        counts = ("max_points", "max_groups", "max_waiting_queries", "max_exports", "max_waiting_exports")
        for name in (*counts, "min_export_bytes_per_s", "max_body_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("price_per_request", "price_per_byte"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
