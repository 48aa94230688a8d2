from __future__ import annotations

import pytest

from apimetry.query_api.export.params import ExportQuery, parse_export
from apimetry.query_api.export.sql import make_export
from apimetry.query_api.planning.event_fields import FIELDS
from apimetry.query_api.planning.filters import Filter
from apimetry.serving.errors import BadRequest


def test_without_parameters_everything_is_asked_for():
    assert parse_export([("start", ""), ("format", "")]) == ExportQuery(
        0, 9_999_999_999, "ndjson", "plain", FIELDS, ()
    )


def test_fields_keep_their_order_once_each_however_they_are_given():
    query = parse_export([("fields", "url, timestamp"), ("fields", "url,data")])
    assert query.fields == ("url", "timestamp", "data")


def test_order_and_limit_are_read():
    query = parse_export([("order", "desc"), ("limit", "1000000")])
    assert (query.newest_first, query.limit) == (True, 1_000_000)
    assert parse_export([("order", "asc")]) == parse_export([])


def test_filters_are_those_of_timeseries():
    query = parse_export([("include", "source:a:b"), ("include", "status_code:200"), ("exclude", "method:GET")])
    assert query.filters == (
        Filter("source", ("a:b",)),
        Filter("status_code", (200,)),
        Filter("method", ("GET",), excludes=True),
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([("start", "5"), ("end", "5")], "start must be before end: start is 5, end is 5"),
        ([("start", "1412605036000")], "not milliseconds"),
        ([("format", "xml")], "format is 'xml'; allowed: ndjson, csv, parquet"),
        ([("fields", "url,password")], "fields is 'password'; allowed: names separated by commas, of timestamp"),
        ([("include", "data:x")], "include is 'data:x'"),
        ([("offset", "5")], "a parameter's name is 'offset'"),
        ([("limit", "0")], "limit is '0'; allowed: a whole number, 1 to 1000000"),
        ([("limit", "1000001")], "limit is '1000001'"),
        ([("order", "newest")], "order is 'newest'; allowed: asc, desc"),
    ],
)
def test_a_bad_parameter_is_named_with_its_value_and_what_is_allowed(parameters, message):
    with pytest.raises(BadRequest) as raised:
        parse_export(parameters)
    assert message in str(raised.value)


def test_no_value_is_part_of_the_statement():
    query = parse_export([("include", "source:x' OR 1"), ("start", "77777")])
    export = make_export(query, "shop'")
    assert "OR 1" not in export.statement.sql
    assert "77777" not in export.statement.sql
    assert export.statement.parameters["filter_0"] == ["x' OR 1"]
    assert export.statement.parameters["start_us"] == 77_777_000_000
