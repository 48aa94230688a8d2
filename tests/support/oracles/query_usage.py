"""The answers of a plain reading of docs/api.md, "Developer usage API": the oracle of the usage tests."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from tests.support.oracles.query_events import percentile

TYPES = {
    429: "rate_limit_exceeded",
    504: "timeout",
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "payload_too_large",
    422: "validation_error",
    499: "client_closed",
}


def half_up(value, digits=1):
    """A fraction with so many decimals."""
    value = Fraction(value)
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return float(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def weight(events):
    return sum(e.sample_weight for e in events)


def failed(events):
    return [e for e in events if e.status_code >= 400]


def timed(events):
    return [e for e in events if e.response_us is not None]


def mean_us(events):
    measured = timed(events)
    total = sum(e.response_us * e.sample_weight for e in measured)
    return Fraction(total, weight(measured)) if measured else Fraction(0)


def peak_ms(events):
    return half_up(Fraction(max((e.response_us for e in timed(events)), default=0), 1000))


def moved_bytes(events):
    return sum(((e.request_bytes or 0) + (e.response_bytes or 0)) * e.sample_weight for e in events)


def share(part, whole):
    return half_up(Fraction(100 * part, whole))


def success_rate(events):
    return share(weight(events) - weight(failed(events)), weight(events)) if events else 100.0


def chosen_events(events, application, start, end, **only):
    """The events of a window; `only` has the values that a field may have."""
    return [
        e
        for e in events
        if e.application == application
        and start * 1_000_000 <= e.timestamp < end * 1_000_000
        and all(getattr(e, field) in values for field, values in only.items())
    ]


def grouped(events, field):
    groups = defaultdict(list)
    for event in events:
        groups[field(event) if callable(field) else getattr(event, field)].append(event)
    return groups


def ordered(groups, sort, descending):
    """The groups' keys as lists are sorted: equals by requests, then by key."""
    sign = -1 if descending else 1
    value = {"requests": weight, "errors": lambda es: weight(failed(es)), "latency": mean_us}[sort]
    return sorted(groups, key=lambda key: (sign * value(groups[key]), sign * weight(groups[key]), key))[:100]


def bucket_starts(granularity, start, end, zone=timezone.utc):
    """Every clock-aligned bucket that overlaps `[start, end)`."""
    starts = []
    second = start
    while second < end:
        starts.append(floor_to(granularity, second, zone))
        second = next_after(granularity, starts[-1], zone)
    return starts


def floor_to(granularity, second, zone=timezone.utc):
    if granularity in ("minute", "hour"):
        return second - second % {"minute": 60, "hour": 3600}[granularity]
    time = datetime.fromtimestamp(second, zone)
    midnight = datetime(time.year, time.month, time.day, tzinfo=zone)
    if granularity == "month":
        midnight = midnight.replace(day=1)
    if granularity == "week":
        midnight -= timedelta(midnight.weekday())
    return int(midnight.timestamp())


def next_after(granularity, start, zone=timezone.utc):
    if granularity in ("minute", "hour"):
        return start + {"minute": 60, "hour": 3600}[granularity]
    # Noon of a day in the next bucket.
    days = {"day": 1, "week": 7, "month": 32}[granularity]
    return floor_to(granularity, start + days * 86400 + 43_200, zone)


def iso(second):
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def expected_totals(events, span_s):
    requests, errors = weight(events), weight(failed(events))
    minutes = grouped(events, lambda e: e.timestamp // 60_000_000).values()
    hours = grouped(events, lambda e: e.timestamp // 3_600_000_000).values()
    return {
        "totalRequests": requests,
        "successfulRequests": requests - errors,
        "failedRequests": errors,
        "successRate": success_rate(events),
        "averageLatency": half_up(mean_us(events) / 1000),
        "peakLatency": peak_ms(events),
        "requestsPerMinute": half_up(Fraction(60 * requests, span_s)),
        "requestsPerHour": half_up(Fraction(3600 * requests, span_s)),
        "requestsPerDay": half_up(Fraction(86400 * requests, span_s)),
        "peakRequestsPerMinute": max(map(weight, minutes), default=0),
        "peakRequestsPerHour": max(map(weight, hours), default=0),
        "dataTransferred": moved_bytes(events),
        "averageDataPerRequest": int(half_up(Fraction(moved_bytes(events), requests), 0)) if requests else 0,
    }


def expected_series(events, granularity, start, end, zone=timezone.utc):
    groups = grouped(events, lambda e: floor_to(granularity, e.timestamp // 1_000_000, zone))
    return [_point(at, groups.get(at, [])) for at in bucket_starts(granularity, start, end, zone)]


def _point(at, events):
    return {
        "timestamp": iso(at),
        "requests": weight(events),
        "successfulRequests": weight(events) - weight(failed(events)),
        "failedRequests": weight(failed(events)),
        "averageLatency": half_up(mean_us(events) / 1000),
        "peakLatency": peak_ms(events),
        "dataTransferred": moved_bytes(events),
    }


def expected_breakdown(events, sort, descending):
    total = weight(events)

    def counted(name, field):
        groups = grouped(events, field)
        return [
            {name: key, "requests": weight(groups[key]), "percentage": share(weight(groups[key]), total)}
            for key in ordered(groups, sort, descending)
        ]

    routes = grouped(events, "route")
    return {
        "byEndpoint": [_endpoint(key, routes[key]) for key in ordered(routes, sort, descending)],
        "byMethod": counted("method", "method"),
        "byStatusCode": counted("statusCode", "status_code"),
        "byKey": counted("keyId", "consumer_id"),
    }


def _endpoint(route, events):
    values = [(e.response_us, e.sample_weight) for e in timed(events)]
    return {
        "endpoint": route,
        "requests": weight(events),
        "successRate": success_rate(events),
        "averageLatency": half_up(mean_us(events) / 1000),
        "dataTransferred": moved_bytes(events),
        "errors": weight(failed(events)),
        **{f"p{p}": half_up(Fraction(percentile(values, p), 1000)) if values else None for p in (50, 95, 99)},
    }


def expected_errors(events, sort, descending):
    """As the service answers, but for the descriptions."""
    errors = failed(events)
    total = weight(errors)

    def rows(name, field, count):
        groups = grouped(errors, field)
        return [
            {name: key, count: weight(groups[key]), "percentage": share(weight(groups[key]), total)}
            for key in ordered(groups, sort, descending)
        ]

    return {
        "totalErrors": total,
        "errorRate": share(total, weight(events)) if events else 0,
        "byType": rows("type", lambda e: type_of(e.status_code), "count"),
        "byEndpoint": rows("endpoint", "route", "errors"),
        "byStatusCode": rows("statusCode", "status_code", "count"),
    }


def type_of(status):
    return TYPES.get(status) or ("server_error" if status >= 500 else "client_error")
