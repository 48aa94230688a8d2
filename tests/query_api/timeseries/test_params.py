"""Text in, one frozen question out."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.http.query_string import MAX_TIME_S
from apimetry.query_api.planning.calendar import Calendar
from apimetry.query_api.planning.filters import DIMENSIONS, Filter
from apimetry.query_api.planning.granularity import NAMED_GRANULARITIES, Granularity
from apimetry.query_api.timeseries.params import PARAMETERS, VALUES, TimeseriesQuery, parse_timeseries
from apimetry.serving.errors import BadRequest


def parse(*parameters, start="0", end="100", max_groups=1000):
    return parse_timeseries(start, end, parameters, max_groups=max_groups)


def test_nothing_asked_is_a_count_in_one_bucket():
    assert parse() == TimeseriesQuery(0, 100, ("count",), "response_us", None, (), (), None, None)


@pytest.mark.parametrize(
    "aggregation", ["count", "mean", "min", "max", "sum", "consumers", "percentile_1", "percentile_99"]
)
def test_aggregations(aggregation):
    assert parse(("aggregation", aggregation)).aggregations == (aggregation,)


def test_every_percentile_from_1_to_99_is_known_by_its_number():
    for number in range(1, 100):
        assert parse(("aggregation", f"percentile_{number}")).percentiles == (number,)


@pytest.mark.parametrize(
    ("name", "granularity"),
    [
        ("second", Granularity(1)),
        ("minute", Granularity(60)),
        ("hour", Granularity(3600)),
        ("day", Granularity(86400)),
        ("week", Granularity(604800, -3 * 86400)),
        ("1", Granularity(1)),
        ("90", Granularity(90)),
        ("604800", Granularity(604800)),
        ("0060", Granularity(60)),
    ],
)
def test_granularities(name, granularity):
    assert parse(("granularity", name)).granularity == granularity


def test_granularity_is_answered_in_milliseconds_and_is_the_span_where_absent():
    assert parse(("granularity", "hour")).granularity_ms == 3_600_000
    assert parse(start="50", end="100").granularity_ms == 50_000


def test_values_of_one_field_are_alternatives_and_fields_are_separate_filters():
    query = parse(
        ("include", "method:GET"),
        ("include", "status_code:404"),
        ("include", "method:POST"),
        ("include", "method:GET"),
        ("exclude", "method:PUT"),
    )
    assert query.filters == (
        Filter("method", ("GET", "POST")),
        Filter("status_code", (404,)),
        Filter("method", ("PUT",), excludes=True),
    )


@pytest.mark.parametrize("value", ["", "a:b:c", "http://x/?a=b:c", " ", "'", "{x:Int}", "\0"])
def test_a_filter_is_split_at_its_first_colon_and_its_value_kept_as_it_is(value):
    assert parse(("include", f"url:{value}")).filters == (Filter("url", (value,)),)


def test_empty_parameters_count_as_absent():
    assert parse(*((name, "") for name in PARAMETERS), ("whatever", "")) == parse()


def test_an_empty_parameter_beside_a_full_one_changes_nothing():
    assert parse(("group", ""), ("group", "method")).groups == ("method",)


def test_the_cache_buster_of_jquery_and_the_application_are_passed_over():
    assert parse(("_", "1412691436"), ("application", "shop")) == parse()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("aggregation", "median", "percentile_99"),
        ("aggregation", "COUNT", "count"),
        ("aggregation", "percentile_0", "percentile_1"),
        ("aggregation", "percentile_100", "percentile_99"),
        ("aggregation", "percentile_05", "percentile_1"),
        ("aggregation", "percentile_9.55", "percentile_1"),
        ("aggregation", "percentile_99.", "percentile_1"),
        ("aggregation", "percentile_0.0", "percentile_1"),
        ("tz", "Mars/Olympus", "Europe/Berlin"),
        ("rest", "2", "0, 1"),
        ("aggregation", "percentile_٣", "percentile_1"),
        ("value", "status_code", "response_bytes"),
        ("granularity", "0", "at least 1"),
        ("granularity", "-60", "week"),
        ("granularity", "1.5", "week"),
        ("granularity", "1e3", "week"),
        ("granularity", "٣", "week"),
        ("granularity", "year", "month"),
        ("granularity", "99999999999", "week"),
        ("group", "data", "consumer_id"),
        ("group", "method)", "consumer_id"),
        ("include", "method", "field:value"),
        ("include", ":GET", "field:value"),
        ("include", "data:x", "field:value"),
        ("exclude", "method=GET", "field:value"),
        ("include", "status_code:4x", "65535"),
        ("include", "status_code:", "65535"),
        ("exclude", "status_code:65536", "65535"),
        ("exclude", "status_code:-1", "65535"),
        ("fill", "previous", "null"),
        ("limit", "0", "1 to 1000"),
        ("limit", "1001", "1 to 1000"),
        ("limit", "ten", "1 to 1000"),
    ],
)
def test_a_bad_value_is_refused_by_parameter_value_and_what_is_allowed(name, value, allowed):
    with pytest.raises(BadRequest) as refusal:
        parse((name, value))
    assert name in refusal.value.message
    assert repr(value.rpartition(":")[2] if value.startswith("status_code") else value) in refusal.value.message
    assert allowed in refusal.value.message


def test_an_unknown_parameter_is_refused_by_name():
    with pytest.raises(BadRequest, match=r"'inclde'.*include"):
        parse(("inclde", "method:GET"))


def test_two_different_values_of_one_parameter_are_refused_and_two_equal_ones_not():
    with pytest.raises(BadRequest, match="fill"):
        parse(("fill", "zero"), ("fill", "null"))
    assert parse(("group", "url"), ("group", "url")).groups == ("url",)


def test_up_to_two_groups_and_five_aggregations_are_read_in_their_order():
    query = parse(
        ("group", "url"), ("group", "status_class"),
        ("aggregation", "percentile_99.9"), ("aggregation", "count"), ("aggregation", "count"),
    )  # fmt: skip
    assert (query.groups, query.aggregations) == (("url", "status_class"), ("percentile_99.9", "count"))
    with pytest.raises(BadRequest, match="group is 'url, method, route'; allowed: up to 2 values"):
        parse(("group", "url"), ("group", "method"), ("group", "route"))
    with pytest.raises(BadRequest, match=r"aggregation is .*; allowed: up to 5 of them"):
        parse(*(("aggregation", f"percentile_{number}") for number in range(1, 7)))
    with pytest.raises(BadRequest, match="consumers alone"):
        parse(("aggregation", "count"), ("aggregation", "consumers"))


def test_the_rest_takes_counts_and_sums_alone():
    grouped = (("group", "url"), ("limit", "3"), ("rest", "1"))
    assert parse(*grouped, ("aggregation", "sum"), ("aggregation", "count")).rest
    with pytest.raises(BadRequest, match="rest is '1'; allowed: with the aggregations count and sum, not mean"):
        parse(*grouped, ("aggregation", "count"), ("aggregation", "mean"))


def test_a_zone_moves_days_weeks_and_months_alone():
    zone = ("tz", "Europe/Berlin")
    assert parse(("granularity", "day"), zone).granularity == Calendar("day", "Europe/Berlin")
    assert parse(("granularity", "month")).granularity == Calendar("month", "UTC")
    assert parse(("granularity", "hour"), zone).granularity == Granularity(3600)
    assert parse(("granularity", "86400"), zone).granularity == Granularity(86400)
    assert parse(("granularity", "week"), ("tz", "UTC")).granularity == parse(("granularity", "week")).granularity


@pytest.mark.parametrize("time", ["", "x", "-1", "1.5", "1e9", "1412605036000", " 1", "1_0", "٣", "+5", "0x10"])
def test_times_are_whole_seconds(time):
    with pytest.raises(BadRequest, match=r"start is .*milliseconds"):
        parse(start=time, end="100")
    with pytest.raises(BadRequest, match=r"end is .*milliseconds"):
        parse(start="0", end=time)


@pytest.mark.parametrize(("start", "end"), [("5", "5"), ("6", "5"), ("9999999999", "0")])
def test_start_must_be_before_end(start, end):
    with pytest.raises(BadRequest, match=f"start is {start}, end is {end}"):
        parse(start=start, end=end)


def test_a_long_bad_value_is_shown_in_part():
    with pytest.raises(BadRequest) as refusal:
        parse(("group", "x" * 5000))
    assert len(refusal.value.message) < 400


@given(
    st.text(),
    st.text(),
    st.lists(st.tuples(st.one_of(st.sampled_from(PARAMETERS), st.text()), st.text())),
)
def test_any_text_is_a_question_or_a_refusal(start, end, parameters):
    try:
        query = parse_timeseries(start, end, parameters, max_groups=10)
    except BadRequest:
        return
    assert 0 <= query.start < query.end <= MAX_TIME_S


_granularities = st.one_of(st.sampled_from(sorted(NAMED_GRANULARITIES)), st.integers(1, MAX_TIME_S).map(str)).map(
    lambda name: parse(("granularity", name)).granularity
)
_times = st.integers(0, MAX_TIME_S)


@given(_granularities, _times)
def test_a_bucket_holds_its_time(granularity, time):
    start = granularity.floor(time)
    assert start <= time < start + granularity.seconds
    assert granularity.floor(start) == start


@given(_times)
def test_weeks_start_on_monday_at_midnight_utc(time):
    start = datetime.fromtimestamp(parse(("granularity", "week")).granularity.floor(time), timezone.utc)
    assert (start.weekday(), start.hour, start.minute, start.second) == (0, 0, 0, 0)


@given(_granularities, _times, st.integers(1, 10**6))
def test_bucket_starts_cover_the_range_and_no_more(granularity, start, span):
    starts = granularity.starts(start, start + span)
    assert starts[0] == granularity.floor(start)
    assert starts[-1] == granularity.floor(start + span - 1)


@given(st.lists(st.tuples(st.sampled_from([d for d in DIMENSIONS if d != "status_code"]), st.text()), min_size=1))
def test_every_filter_value_survives_parsing(pairs):
    filters = parse(*(("include", f"{field}:{value}") for field, value in pairs)).filters
    assert {(f.field, v) for f in filters for v in f.values} == set(pairs)


@given(st.sampled_from(VALUES), st.sampled_from(DIMENSIONS), st.integers(1, 1000))
def test_what_is_asked_is_what_is_parsed(value, group, limit):
    query = parse(("value", value), ("group", group), ("limit", str(limit)))
    assert (query.value, query.groups, query.limit) == (value, (group,), limit)
