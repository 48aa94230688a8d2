"""What may be asked about values, and how a wrong question is refused."""

from __future__ import annotations

import pytest

from apimetry.query_api.planning.filters import DIMENSIONS, Filter
from apimetry.query_api.values.params import KEPT_S, ValuesQuery, parse_values
from apimetry.serving.errors import BadRequest

NOW = 1_795_691_691
WEEK = 7 * 86_400


def parse(*parameters, field="route", now=NOW):
    return parse_values([("field", field), *parameters], now)


def test_only_a_field_is_required():
    end = parse().end
    assert parse() == ValuesQuery("route", end - WEEK, end)
    assert 0 <= end - NOW < KEPT_S
    assert parse(("search", ""), ("limit", "")) == parse()


def test_a_question_without_an_end_is_the_same_for_some_seconds():
    ends = {parse(now=NOW + second).end for second in range(KEPT_S)}
    assert len(ends) == 2
    assert parse(("end", str(NOW))).end == NOW


def test_every_parameter_has_its_place():
    query = parse(("search", "Check"), ("limit", "50"), ("start", "5"), ("end", "9"), ("include", "method:GET"))
    assert query == ValuesQuery("route", 5, 9, "Check", 50, (Filter("method", ("GET",)),))


@pytest.mark.parametrize("field", DIMENSIONS)
def test_every_dimension_is_a_field(field):
    assert parse(field=field).field == field


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [
        ("limit", "51", "1 to 50"),
        ("limit", "0", "1 to 50"),
        ("search", "x" * 201, "up to 200 characters"),
        ("offset", "1", "field, search, start"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(parameter, value, allowed):
    with pytest.raises(BadRequest, match=allowed):
        parse((parameter, value))


@pytest.mark.parametrize("field", ["routes", "status_class", "data", ""])
def test_a_field_is_one_of_the_dimensions(field):
    with pytest.raises(BadRequest, match=r"field is .*allowed: consumer_id, method, url"):
        parse(field=field)
