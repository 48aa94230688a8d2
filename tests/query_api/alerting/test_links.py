"""The link of an alert event shows the requests that the rule is about."""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest

from apimetry.query_api.alerting.links import link_of
from apimetry.store.alerts.records import AlertEvent, AlertRule, Metric, Transition

AT = datetime.fromtimestamp(1_700_000_000, timezone.utc)
EVENT = AlertEvent("e", "r", "o", "shop", 1, Transition.firing, AT, AT, 7.0, 5.0)


def view(**filters):
    rule = AlertRule("r", "o", "shop", "Rule", Metric.error_rate, AT, "secret", **filters)
    return parse_qsl(urlsplit(link_of("https://example.com", rule, EVENT)).query)


def test_every_filter_is_in_the_link():
    filters = {"include": ("route:/a&b",), "exclude": ("method:GET", "method:PUT"), "has": ("url:ü",)}
    assert view(**filters) == [
        ("app", "shop"),
        ("start", "1699998200"),
        ("end", "1700000000"),
        ("is", "route:/a&b"),
        ("not", "method:GET"),
        ("not", "method:PUT"),
        ("has", "url:ü"),
    ]


@pytest.mark.parametrize(
    ("least_us", "most_us", "slow"),
    [
        (500_000, None, "500.."),
        (None, 1500, "..2"),
        (1999, 2000, "1..2"),
        (2000, 2000, "2..3"),
        (0, 2**63 - 1, "0.."),
    ],
)
def test_bounds_are_milliseconds_and_never_narrower(least_us, most_us, slow):
    assert ("slow", slow) in view(min_response_us=least_us, max_response_us=most_us)


def test_a_bound_that_the_page_cannot_read_is_left_out():
    assert "slow" not in dict(view(max_response_us=2**63 - 1))
