"""Ask usage of a store, and compare what it answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from apimetry.query_api.usage.answer import answer_usage
from apimetry.query_api.usage.params import parse_usage
from apimetry.store.accounts.records import Application, RequestLimits
from tests.support.oracles.query_events import Event

NOW = 1_705_765_500
DAY = 86_400
START = NOW - DAY
SHOP = Application("shop", "o" * 24, "Shop", 90, RequestLimits(100, 1000, 10_000), datetime.now(timezone.utc))
UNLIMITED = replace(SHOP, limits=RequestLimits())


def at(second, **fields):
    return Event(timestamp=second * 1_000_000, **fields)


def usage(store, *parameters, application=UNLIMITED, now=NOW):
    return answer_usage(parse_usage(parameters, now), application, ask=store.ask, now=now)


def shape(value, path=""):
    """Every path of keys with the kind of value at its end; a list is what its first row is."""
    if isinstance(value, dict):
        shapes = {path: "object"}
        for name, member in value.items():
            shapes |= shape(member, f"{path}.{name}")
        return shapes
    if isinstance(value, list):
        return {path: "array"} | (shape(value[0], f"{path}[]") if value else {})
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return {path: kinds[type(value)]}


def within_bounds(breakdown):
    """The breakdown with percentiles as a rollup gives them: within 2 %, both rounded to tenths of a millisecond."""
    endpoints = [
        {
            name: pytest.approx(value, abs=0.02 * value + 0.101) if name in ("p50", "p95", "p99") and value else value
            for name, value in row.items()
        }
        for row in breakdown["byEndpoint"]
    ]
    return {**breakdown, "byEndpoint": endpoints}
