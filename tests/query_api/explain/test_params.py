"""The parameters of a question what changed."""

from __future__ import annotations

import pytest

from apimetry.query_api.explain.params import ExplainQuery, parse_explain
from apimetry.serving.errors import BadRequest

DAY = 86_400


def test_by_default_the_errors_of_a_day_are_compared_with_the_day_before():
    assert parse_explain([], 10 * DAY) == ExplainQuery(9 * DAY, 10 * DAY, (8 * DAY, 9 * DAY), "errors", 10)


@pytest.mark.parametrize(("against", "start"), [("week", 2 * DAY), (str(DAY), DAY)])
def test_another_range_of_the_same_length_can_be_named(against, start):
    assert parse_explain([("against", against)], 10 * DAY).before == (start, start + DAY)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("metric", "p95Ms", "errors, requests, errorRate, meanMs"),
        ("against", "month", "previous, week"),
        ("limit", "51", "50"),
        ("limit", "0", "50"),
        ("start", "0", "31 days"),
        ("group", "route", "metric"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(name, value, reason):
    with pytest.raises(BadRequest) as refused:
        parse_explain([(name, value)], 40 * DAY)
    assert reason in str(refused.value)
