"""What a usage question may ask, and how a wrong one is refused; the buckets of its calendar."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimetry.query_api.planning.filters import Filter
from apimetry.query_api.planning.time_buckets import GRANULARITIES, Buckets
from apimetry.query_api.usage.params import PARAMETERS, Order, UsageQuery, Window, parse_usage, parse_window
from apimetry.query_api.usage.reading import series_page
from apimetry.serving.errors import BadRequest
from tests.support.oracles.query_usage import bucket_starts

NOW = 1_705_765_500
DAY = 86_400


def parse(*parameters):
    return parse_usage(parameters, NOW)


def test_nothing_asked_is_a_day_by_hour():
    window = Window(NOW - DAY, NOW)
    expected = UsageQuery(window, granularity=None, sort=None, descending=True, limit=None, offset=0)
    assert parse() == expected
    assert parse(*((name, "") for name in PARAMETERS), ("application", "x"), ("_", "1")) == expected


@pytest.mark.parametrize(
    ("timeframe", "days"), [("1h", 1 / 24), ("24h", 1), ("7d", 7), ("30d", 30), ("90d", 90), ("1y", 365)]
)
def test_a_timeframe_rolls(timeframe, days):
    assert parse(("timeframe", timeframe)).window == Window(NOW - round(days * DAY), NOW)


def test_all_has_no_start():
    assert parse(("timeframe", "all")).window == Window(None, NOW)


def test_start_and_end_replace_the_timeframe():
    assert parse(("start", "5"), ("end", "9")).window == Window(5, 9)
    assert parse(("start", "5")).window == Window(5, NOW)


def test_filters_are_alternatives_in_one_field():
    pairs = [("method", "GET"), ("method", "POST"), ("method", "GET"), ("status_code", "429"), ("route", "")]
    filters = (Filter("method", ("GET", "POST")), Filter("status_code", (429,)))
    assert parse(*pairs).window.filters == filters
    assert parse_window(pairs, NOW).filters == filters


@pytest.mark.parametrize(
    ("parameters", "lists", "series"),
    [
        ([], Order("requests", True), Order("timestamp", False)),
        ([("order", "asc")], Order("requests", False), Order("timestamp", False)),
        ([("sortBy", "errors")], Order("errors", True), Order("errors", True)),
        ([("sortBy", "latency"), ("order", "asc")], Order("latency", False), Order("latency", False)),
        ([("sortBy", "timestamp")], Order("requests", True), Order("timestamp", True)),
        ([("sortBy", "timestamp"), ("order", "asc")], Order("requests", True), Order("timestamp", False)),
    ],
)
def test_lists_are_sorted_and_the_series_ascends_until_it_is_asked_to_be_sorted(parameters, lists, series):
    query = parse(*parameters)
    assert (query.list_order, query.series_order) == (lists, series)


REFUSED = [
    ([("timeframe", "2h")], "timeframe is '2h'; allowed: 1h, 24h, 7d, 30d, 90d, 1y, all"),
    ([("granularity", "second")], "granularity is 'second'; allowed: minute, hour, day, week, month"),
    ([("sortBy", "Requests")], "sortBy is 'Requests'; allowed: requests, errors, latency, timestamp"),
    ([("order", "up")], "order is 'up'; allowed: desc, asc"),
    ([("limit", "0")], "limit is '0'; allowed: a whole number, 1 to 1000"),
    ([("limit", "1001")], "limit is '1001'"),
    ([("limit", "1e2")], "limit is '1e2'"),
    ([("offset", "-1")], "offset is '-1'; allowed: a whole number, 0 to 9999999999"),
    ([("offset", "99999999999")], "offset is '99999999999'"),
    ([("status_code", "xx")], "status_code is 'xx'; allowed: 1xx to 9xx, or a whole number, 0 to 65535"),
    ([("status_code", "65536")], "status_code is '65536'"),
    ([("start", "1705765500000")], "milliseconds"),
    ([("start", "x")], "start is 'x'"),
    ([("start", "9"), ("end", "9")], "start must be before end: start is 9, end is 9"),
    ([("start", str(NOW))], "start must be before end"),
    ([("end", "9")], "end is '9' and start is missing"),
    ([("timeframe", "7d"), ("start", "9")], "timeframe is '7d'; allowed: either timeframe or start and end"),
    ([("limit", "5"), ("limit", "6")], "limit is '5, 6'; allowed: one value"),
    ([("sort", "requests")], "a parameter's name is 'sort'; allowed: timeframe, granularity"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_a_bad_parameter_is_named_with_its_value_and_what_is_allowed(parameters, message):
    with pytest.raises(BadRequest) as refusal:
        parse(*parameters)
    assert message in refusal.value.message


def test_a_question_about_a_window_alone_knows_no_pages():
    with pytest.raises(BadRequest, match="'limit'"):
        parse_window([("limit", "5")], NOW)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_read_or_refused(name, value):
    for pair in [(name, value), *((known, value) for known in PARAMETERS)]:
        with contextlib.suppress(BadRequest):
            assert parse(pair).window.end > 0


@settings(deadline=None)
@given(st.integers(0, 3 * 10**9), st.integers(1, 10**7), st.sampled_from(GRANULARITIES))
def test_buckets_are_those_of_the_clock_and_the_calendar(start, span, granularity):
    span = min(span, 86_400) if granularity == "minute" else span
    buckets = Buckets(granularity, start, start + span)
    expected = bucket_starts(granularity, start, start + span)
    assert [buckets.starts_at(index) for index in range(buckets.count)] == expected
    clips = [buckets.clip(range(index, index + 1)) for index in range(buckets.count)]
    assert [clips[0][0], clips[-1][1]] == [start, start + span]
    assert all(ends == starts for (_, ends), (starts, _) in itertools.pairwise(clips))


@pytest.mark.parametrize(
    ("parameters", "days", "granularity", "count", "limit"),
    [
        ([], 1, "hour", 25, 100),
        ([("timeframe", "7d")], 7, "hour", 169, 169),
        ([("timeframe", "1y")], 365, "hour", 8761, 8761),
        ([("timeframe", "30d"), ("granularity", "minute")], 30, "minute", 43_200, 10_000),
        ([("timeframe", "1y"), ("granularity", "day")], 365, "day", 366, 366),
        # Of `all`, the window begins with the first event.
        ([("timeframe", "all")], 416, "hour", 9985, 9985),
        ([("timeframe", "all")], 417, "day", 418, 418),
        ([("timeframe", "all")], 10_000, "week", 1429, 1429),
        ([("timeframe", "all"), ("granularity", "hour")], 500, "hour", 12_001, 10_000),
        ([("timeframe", "all"), ("limit", "50")], 500, "hour", 12_001, 50),
        ([("timeframe", "all"), ("offset", "9990")], 416, "hour", 9985, 9985),
        ([("limit", "1")], 1, "hour", 25, 1),
    ],
)
def test_a_page_is_the_whole_series_unless_its_size_is_asked_for(parameters, days, granularity, count, limit):
    query = parse(*parameters)
    page = series_page(query, NOW - days * DAY, NOW)
    assert (page.buckets.granularity, page.buckets.count) == (granularity, count)
    assert page.rows == range(query.offset, query.offset + limit)


@given(st.integers(1, NOW), st.integers(0, 10**5))
def test_a_page_nobody_asked_the_size_of_has_room_for_every_bucket(span, offset):
    page = series_page(parse(("offset", str(offset))), NOW - span, NOW)
    assert page.buckets.count <= len(page.rows)
    assert 100 <= len(page.rows) <= 10_000


def test_an_empty_range_has_no_buckets():
    for granularity in GRANULARITIES:
        assert Buckets(granularity, 5, 5).count == 0
