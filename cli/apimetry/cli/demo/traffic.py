"""The traffic of the demo: which request comes when, from whom, and what becomes of it. Pure: a seed makes it anew.

A shop has three applications. Its traffic follows the hour of the day. Checkouts fail for a while after a deploy (the
incident), and one consumer asks far too often for some minutes (the noisy consumer).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

INCIDENT_AFTER_S: Final = 20
"""The incident begins so long after a deploy."""
NOISY_CONSUMER: Final = "initech-batch"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of one application: a template with its share of the traffic and its usual time."""

    application: str
    method: str
    route: str
    function: str
    share: float
    typical_ms: float
    ok_status: int = 200


ENDPOINTS: Final = (
    Endpoint("shop", "GET", "/v1/search", "search", 30, 60),
    Endpoint("shop", "GET", "/v1/items/{identity}", "read_item", 24, 12),
    Endpoint("shop", "POST", "/v1/checkout", "checkout", 7, 180, 201),
    Endpoint("catalog", "GET", "/catalog/{category}", "list_category", 16, 25),
    Endpoint("catalog", "GET", "/catalog/{category}/export", "export_category", 1, 900),
    Endpoint("accounts", "POST", "/accounts/login", "login", 10, 90),
    Endpoint("accounts", "GET", "/accounts/{identity}/profile", "profile", 12, 18),
)
CHECKOUT: Final = ENDPOINTS[2]
_CONSUMERS: Final = (
    *(("acme-prod", 30), ("globex-prod", 20), ("umbrella", 8), ("hooli-dev", 5), (NOISY_CONSUMER, 3), ("", 4)),
    *((f"customer-{number:02}", 1) for number in range(30)),
)
_CATEGORIES: Final = ("books", "games", "garden", "kitchen", "music")


@dataclass(frozen=True)
class Request:
    """One request, and what the application makes of it."""

    endpoint: Endpoint
    path: str
    consumer: str
    duration_ms: float
    status: int
    error_type: str = ""


@dataclass(frozen=True)
class Schedule:
    """The versions of the shop, and when deploy, incident and noisy minutes are, in seconds since the epoch."""

    old_version: str
    new_version: str
    deploy_s: float
    incident_ends_s: float
    noise_starts_s: float
    noise_ends_s: float

    def version_at(self, time_s: float) -> str:
        """Return the version of the shop at a moment."""
        return self.new_version if time_s >= self.deploy_s else self.old_version

    def is_incident(self, time_s: float) -> bool:
        """Return whether checkouts fail at a moment."""
        return self.deploy_s + INCIDENT_AFTER_S <= time_s < self.incident_ends_s

    def is_noisy(self, time_s: float) -> bool:
        """Return whether the noisy consumer asks at a moment."""
        return self.noise_starts_s <= time_s < self.noise_ends_s


class Traffic:
    """Requests of a schedule."""

    def __init__(self, schedule: Schedule, seed: int) -> None:
        self._schedule = schedule
        self._dice = random.Random(seed)  # noqa: S311 - a demo that can be repeated

    def times(self, start_s: float, end_s: float, per_second: float) -> Iterator[float]:
        """Yield the moments of requests in `[start_s, end_s)`, ascending; `per_second` is the mean of a day."""
        time_s = start_s
        while True:
            rate = per_second * _hour_factor(time_s) * (3 if self._schedule.is_noisy(time_s) else 1)
            time_s += self._dice.expovariate(rate)
            if time_s >= end_s:
                return
            yield time_s

    def request_at(self, time_s: float) -> Request:
        """Return a request of this moment."""
        if self._schedule.is_noisy(time_s) and self._dice.random() < 2 / 3:
            # The endpoint limits its callers.
            return self._made(ENDPOINTS[0], NOISY_CONSUMER, status=429 if self._dice.random() < 0.6 else 200)
        endpoint = self._dice.choices(ENDPOINTS, [endpoint.share for endpoint in ENDPOINTS])[0]
        consumer = self._dice.choices(*zip(*_CONSUMERS, strict=True))[0]
        if endpoint is CHECKOUT and self._schedule.is_incident(time_s) and self._dice.random() < 0.3:
            return self._made(endpoint, consumer, status=502, error_type="UpstreamError", slower=10)
        roll = self._dice.random()
        if roll < 0.002:
            return self._made(endpoint, consumer, status=500, error_type="KeyError")
        if roll < 0.02:
            return self._made(endpoint, consumer, status=404 if "{" in endpoint.route else 400)
        return self._made(endpoint, consumer, status=endpoint.ok_status)

    def _made(
        self, endpoint: Endpoint, consumer: str, *, status: int, error_type: str = "", slower: float = 1
    ) -> Request:
        duration_ms = endpoint.typical_ms * slower * math.exp(self._dice.gauss(0, 0.45))
        identity = str(self._dice.randrange(1, 2000))
        path = endpoint.route.replace("{identity}", identity)
        path = path.replace("{category}", self._dice.choice(_CATEGORIES))
        return Request(endpoint, path, consumer, min(duration_ms, 8000), status, error_type)


def _hour_factor(time_s: float) -> float:
    """Return how busy an hour is: from 0.4 at night to 1.6 in the afternoon, UTC."""
    hours = time_s % 86400 / 3600
    return 1 + 0.6 * math.sin((hours - 9) / 24 * 2 * math.pi)
