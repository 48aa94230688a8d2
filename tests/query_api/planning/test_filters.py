"""The filter language: what every endpoint about events reads alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.http.query_string import collect
from apimetry.query_api.planning.filter_sql import filter_conditions, filter_parameters
from apimetry.query_api.planning.filters import (
    DIMENSIONS,
    FILTER_PARAMETERS,
    TEXT_FIELDS,
    Bound,
    Contains,
    Filter,
    columns_of,
    filters_of,
)
from apimetry.serving.errors import BadRequest


def read(*parameters, own=()):
    return filters_of(collect(parameters, (*FILTER_PARAMETERS, *own)), own)


def test_a_class_of_statuses_stands_for_its_hundred_codes():
    assert read(("include", "status_code:5xx")) == (Filter("status_code", tuple(range(500, 600))),)
    assert read(("exclude", "status_code:4XX")) == (Filter("status_code", tuple(range(400, 500)), excludes=True),)


def test_codes_and_classes_of_statuses_are_alternatives_and_each_code_counts_once():
    (single,) = read(("include", "status_code:404"), ("include", "status_code:5xx"), ("include", "status_code:500"))
    assert single == Filter("status_code", (404, *range(500, 600)))


def test_the_field_status_class_takes_classes_alone():
    assert read(("include", "status_class:4xx"), ("include", "status_class:5XX")) == (Filter("status_class", (4, 5)),)
    for value in ("404", "0xx", "10xx", "xx", "", "5xy"):
        with pytest.raises(BadRequest, match=r"include=status_class is .*; allowed: 1xx to 9xx"):
            read(("include", f"status_class:{value}"))


def test_texts_and_bounds_are_read_and_each_of_them_must_hold():
    assert read(
        ("has", "url:/v1:x"), ("has", "route:A"), ("has", "route:b"), ("has", "route:b"),
        ("min_response_us", "5"), ("max_response_us", "7"),
    ) == (
        Contains("url", "/v1:x"), Contains("route", "A"), Contains("route", "b"),
        Bound(5), Bound(7, is_upper=True),
    )  # fmt: skip


def test_an_empty_text_is_in_every_text_and_filters_nothing():
    assert read(("has", "url:")) == ()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("has", "method:GET", "has is 'method:GET'; allowed: field:text, where field is one of url, route"),
        ("has", "url", "field:text"),
        ("include", "data:x", "field:value, where field is one of consumer_id"),
        (
            "include",
            "status_code:4x",
            "include=status_code is '4x'; allowed: 1xx to 9xx, or a whole number, 0 to 65535",
        ),
        ("between", "method:1..2", "field:from..to, where field is one of response_us, ttfb_us"),
        ("between", "ttfb_us:..", "between is 'ttfb_us:..'; allowed: field:from..to, with whole numbers"),
        ("between", "ttfb_us:1-2", "between is 'ttfb_us:1-2'"),
        ("between", "ttfb_us:1..1" + "0" * 18, "allowed: field:from..to"),
        ("min_response_us", "1.5", "min_response_us is '1.5'; allowed: whole microseconds, 0 to 9223372036854775807"),
        ("max_response_us", "9223372036854775808", "max_response_us is '9223372036854775808'"),
    ],
)
def test_a_bad_filter_is_named_with_its_value_and_what_is_allowed(name, value, message):
    with pytest.raises(BadRequest) as refusal:
        read((name, value))
    assert message in refusal.value.message


def test_bounds_that_leave_nothing_between_them_are_refused_with_both():
    with pytest.raises(BadRequest, match="min_response_us must not be above max_response_us: they are 8 and 7"):
        read(("min_response_us", "8"), ("max_response_us", "7"))
    assert read(("min_response_us", "7"), ("max_response_us", "7")) == (Bound(7), Bound(7, is_upper=True))


def test_measured_fields_lie_between_two_numbers_of_which_one_may_be_left_out():
    assert read(
        ("between", "ttfb_us:5..7"), ("between", "request_bytes:5.."), ("between", "response_bytes:..7"),
    ) == (
        Bound(5, field="ttfb_us"), Bound(7, is_upper=True, field="ttfb_us"),
        Bound(5, field="request_bytes"), Bound(7, is_upper=True, field="response_bytes"),
    )  # fmt: skip
    assert read(("between", "response_us:5..5"), ("between", "response_us:5..")) == read(
        ("min_response_us", "5"), ("max_response_us", "5")
    )
    assert columns_of(read(("between", "request_bytes:1.."))) == {"request_bytes"}
    with pytest.raises(
        BadRequest, match="first number of between=ttfb_us must not be above the second: they are 8 and 7"
    ):
        read(("between", "ttfb_us:8..7"))


def test_a_parameter_of_its_own_is_short_for_include():
    own = ("method", "status_code")
    assert read(("method", "GET"), ("include", "method:POST"), own=own) == (Filter("method", ("GET", "POST")),)
    with pytest.raises(BadRequest, match="status_code is 'x'"):
        read(("status_code", "x"), own=own)


def test_rollups_know_classes_of_statuses_and_never_response_times():
    assert columns_of(read(("include", "status_class:5xx"), ("has", "route:x"))) == {"status_code", "route"}
    assert columns_of(read(("min_response_us", "1"))) == {"response_us"}


def test_several_filters_of_one_field_bind_values_of_their_own():
    filters = read(("include", "route:/"), ("exclude", "route:/x"), ("has", "route:a"), ("has", "route:b"))
    assert list(filter_parameters(filters).values()) == [["/"], ["/x"], "a", "b"]
    assert all(f"{{{name}:" in " ".join(filter_conditions(filters)) for name in filter_parameters(filters))


@given(
    st.sampled_from([d for d in DIMENSIONS if d != "status_code"]), st.sampled_from(TEXT_FIELDS), st.text(min_size=1)
)
def test_no_text_of_a_filter_is_ever_in_the_statement(field, text_field, text):
    def conditions(value):
        return filter_conditions((Filter(field, (value,)), Contains(text_field, value)))

    assert conditions(text) == conditions("x")
    assert filter_parameters((Contains(text_field, text),)) == {"filter_0": text}
