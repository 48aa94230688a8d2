"""What a breakdown may be asked, and how a wrong question is refused."""

from __future__ import annotations

import pytest

from apimetry.query_api.breakdown.measures import MEASURES
from apimetry.query_api.breakdown.params import BreakdownQuery, parse_breakdown
from apimetry.query_api.breakdown.sql import Slice
from apimetry.query_api.http.listing import Page
from apimetry.query_api.planning.filters import GROUPS, Filter
from apimetry.serving.errors import BadRequest

NOW = 1_795_691_691
DAY = 86_400


def parse(*parameters, by="route"):
    return parse_breakdown([("by", by), *parameters], NOW)


def test_only_a_dimension_is_required():
    assert parse() == BreakdownQuery(NOW - DAY, NOW, ("route",), ("requests", "errors"), Slice())
    assert parse(("start", ""), ("measures", ""), ("sort", ""), ("search", ""), ("application", "x")) == parse()


def test_a_range_has_a_start_or_an_end_or_both():
    assert parse(("end", "100000")).start == 100_000 - DAY
    assert parse(("end", "5")).start == 0
    assert (parse(("start", "5")).start, parse(("start", "5")).end) == (5, NOW)


def test_dimensions_and_measures_keep_their_order():
    query = parse(("measures", "p95Ms,requests,share"), by="status_class,consumer_id,route")
    assert query.by == ("status_class", "consumer_id", "route")
    assert query.measures == ("p95Ms", "requests", "share")


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize("measure", MEASURES)
def test_every_dimension_and_measure_is_known(by, measure):
    query = parse(("measures", measure), ("sort", measure), by=by)
    assert (query.by, query.measures, query.rows.measure) == ((by,), (measure,), measure)


def test_the_rows_of_a_page_and_the_filters():
    query = parse(
        *(("sort", "errorRate"), ("order", "asc"), ("limit", "7"), ("offset", "21"), ("search", "Check")),
        *(("include", "status_class:5xx"), ("exclude", "method:GET")),
    )
    assert query.rows == Slice("errorRate", descending=False, page=Page(7, 21))
    assert query.search == "Check"
    assert query.filters == (Filter("status_class", (5,)), Filter("method", ("GET",), excludes=True))


def test_a_period_before_a_sparkline_and_some_consumers():
    query = parse(
        *(("compare", "previous"), ("sort", "change:p95Ms"), ("series", "60"), ("having", "new")), by="consumer_id"
    )
    assert (query.compared, query.series, query.having) == ((NOW - 2 * DAY, NOW - DAY), 60, "new")
    assert parse(("compare", "week")).compared == (NOW - 8 * DAY, NOW - 7 * DAY)
    assert parse(("compare", "77")).compared == (77, 77 + DAY)
    assert query.rows == Slice("p95Ms", by_change=True)


def test_a_change_needs_a_comparison_and_a_measure_that_is_no_time():
    with pytest.raises(BadRequest, match="sort is 'change:errors'; allowed: with compare alone"):
        parse(("sort", "change:errors"))
    with pytest.raises(BadRequest, match=r"sort is 'change:lastSeen'; allowed: requests, .*, change:requests"):
        parse(("sort", "change:lastSeen"), ("compare", "previous"))


@pytest.mark.parametrize("by", ["route", "consumer_id,route", "route,consumer_id"])
def test_rows_are_restricted_in_a_table_of_consumers_alone(by):
    with pytest.raises(BadRequest, match="having is 'silent'; allowed: with by=consumer_id alone"):
        parse(("having", "silent"), by=by)


@pytest.mark.parametrize("parameter", [("measures", "requests,consumers"), ("sort", "consumers")])
def test_consumers_beside_other_dimensions_are_counted_over_seven_days(parameter):
    week = [("start", str(NOW - 7 * DAY)), ("end", str(NOW))]
    assert parse(parameter, *week).end == NOW
    assert parse(parameter, ("start", "0"), by="consumer_id").start == 0
    with pytest.raises(BadRequest, match=r"over 8.0 days; allowed: up to 7 days, or by=consumer_id alone"):
        parse(parameter, ("start", str(NOW - 8 * DAY)), by="route")


@pytest.mark.parametrize(
    ("parameter", "value", "named"),
    [
        ("by", "routes", "one to three, each once, of consumer_id, method, url"),
        ("by", "route,route", "one to three"),
        ("by", "route,method,source,version", "one to three"),
        ("by", "route,", "one to three"),
        ("by", "data", "one to three"),
        ("measures", "p95", "each once, of requests, errors, errorRate"),
        ("measures", "requests,requests", "each once"),
        ("measures", "requests, errors", "each once"),
        ("sort", "name", "requests, errors, errorRate"),
        ("order", "up", "desc, asc"),
        ("limit", "0", "1 to 1000"),
        ("limit", "1001", "1 to 1000"),
        ("offset", "-1", "0 to"),
        ("compare", "last", "previous, week, or the start"),
        ("series", "61", "a number of buckets, 0 to 60"),
        ("having", "big", "new, silent, failing"),
        ("search", "x" * 201, "up to 200 characters"),
        ("start", "1795691691000", "not milliseconds"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_is_allowed(parameter, value, named):
    parameters = [(parameter, value)] if parameter == "by" else [("by", "route"), (parameter, value)]
    with pytest.raises(BadRequest, match="allowed: ") as refused:
        parse_breakdown(parameters, NOW)
    assert parameter in str(refused.value)
    assert value[:80] in str(refused.value)
    assert named in str(refused.value)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(BadRequest, match="a parameter's name is 'group'; allowed: start, end, by, measures"):
        parse(("group", "route"))


def test_without_a_dimension_the_message_lists_them():
    with pytest.raises(BadRequest, match="by is missing; allowed: one to three, each once, of consumer_id"):
        parse_breakdown([], NOW)


@pytest.mark.parametrize(("start", "end"), [("9", "9"), ("10", "9"), (str(NOW), ""), ("", "0")])
def test_a_range_ends_after_its_start(start, end):
    with pytest.raises(BadRequest, match="start must be before end"):
        parse(("start", start), ("end", end))
