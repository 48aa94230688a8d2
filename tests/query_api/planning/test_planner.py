"""Which tables answer."""

from __future__ import annotations

import pytest

from apimetry.query_api.planning.calendar import Calendar
from apimetry.query_api.planning.filters import Filter
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Needs, Plan, plan
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.sql import timeseries_needs
from apimetry.store.rollups import LAST_HOUR_S, ROLLUPS, Rollup

HOUR, DAY = 3600, 86400
WEEK = Granularity(7 * DAY, -3 * DAY)
ALL, METHODS, STATUSES, ROUTES, COMBINATIONS, ORIGINS, CONSUMERS = ROLLUPS
START, END = 20_000 * DAY, 20_030 * DAY
LAST_DAY = LAST_HOUR_S // DAY * DAY


def plan_of(start=START, end=END, aggregation="count", value="response_us", now=None, group=None, **rest):
    groups = (group,) if group else ()
    return plan(timeseries_needs(TimeseriesQuery(start, end, (aggregation,), value, groups=groups, **rest), now))


def only(field, *values):
    return (Filter(field, values),)


@pytest.mark.parametrize(
    ("question", "rollup"),
    [
        # Dimensions of groups and filters.
        ({}, ALL),
        ({"group": "method"}, METHODS),
        ({"group": "status_code"}, STATUSES),
        ({"filters": only("status_code", 404)}, STATUSES),
        ({"group": "method", "filters": only("method", "GET")}, METHODS),
        ({"group": "method", "filters": only("status_code", 404)}, COMBINATIONS),
        ({"group": "route", "filters": only("status_code", 404)}, COMBINATIONS),
        ({"group": "route"}, ROUTES),
        ({"filters": only("route", "/")}, ROUTES),
        ({"filters": (Filter("route", ("/",), excludes=True),)}, ROUTES),
        ({"group": "version"}, ORIGINS),
        ({"group": "source", "filters": only("route", "/")}, ORIGINS),
        ({"group": "function"}, ORIGINS),
        ({"filters": only("error_type", "ValueError")}, ORIGINS),
        ({"group": "consumer_id"}, CONSUMERS),
        ({"filters": only("consumer_id", "a")}, CONSUMERS),
        ({"group": "consumer_id", "filters": only("method", "GET")}, None),
        ({"group": "url"}, None),
        ({"group": "method", "filters": only("url", "/")}, None),
        # Measures.
        ({"aggregation": "mean", "value": "ttfb_us"}, ALL),
        ({"aggregation": "max", "value": "response_bytes", "group": "source"}, ORIGINS),
        ({"aggregation": "percentile_95", "value": "ttfb_us", "group": "status_code"}, STATUSES),
        ({"aggregation": "percentile_95", "group": "route"}, ROUTES),
        ({"aggregation": "percentile_95", "group": "source"}, None),
        ({"aggregation": "percentile_95", "group": "route", "filters": only("method", "GET")}, None),
        ({"aggregation": "mean", "group": "consumer_id"}, CONSUMERS),
        ({"aggregation": "sum", "value": "response_bytes", "group": "consumer_id"}, CONSUMERS),
        ({"aggregation": "max", "value": "response_bytes", "group": "consumer_id"}, None),
        ({"aggregation": "mean", "value": "ttfb_us", "group": "consumer_id"}, None),
        ({"aggregation": "count", "value": "ttfb_us", "group": "consumer_id"}, CONSUMERS),
        # Buckets of time.
        ({"granularity": Granularity(HOUR)}, ALL),
        ({"granularity": Granularity(7 * HOUR)}, ALL),
        ({"granularity": WEEK}, ALL),
        ({"granularity": Granularity(HOUR, 60), "aggregation": "mean"}, None),
        ({"granularity": Granularity(5400), "aggregation": "mean"}, None),
        ({"granularity": Granularity(1)}, None),
        ({"granularity": Granularity(90)}, None),
    ],
)
def test_the_smallest_rollup_with_every_dimension_and_measure_answers(question, rollup):
    middle = START, END
    granularity = question.get("granularity")
    has_days = rollup not in (None, ORIGINS) and (granularity is None or granularity is WEEK)
    days = middle if has_days else None
    assert plan_of(**question) == (Plan(*middle, rollup, middle, days=days) if rollup else Plan(*middle))


@pytest.mark.parametrize(
    ("question", "rollup"),
    [
        ({"granularity": Granularity(60)}, ALL),
        ({"granularity": Granularity(5400)}, ALL),
        ({"granularity": Granularity(60), "group": "route"}, ROUTES),
        ({"granularity": Granularity(60), "group": "route", "filters": only("method", "GET")}, None),
        ({"granularity": Granularity(60), "group": "source"}, None),
        ({"granularity": Granularity(60), "group": "consumer_id"}, None),
        ({"granularity": Granularity(60), "aggregation": "max"}, None),
    ],
)
def test_minutes_are_kept_for_counts_by_route_method_or_status(question, rollup):
    chosen = plan_of(**question)
    assert (chosen.rollup, chosen.by_minute) == (rollup, rollup is not None)


@pytest.mark.parametrize(
    ("start", "end", "middle", "reads_events"),
    [
        (0, DAY, (0, DAY), False),
        (1, DAY, (HOUR, DAY), True),
        (0, DAY + 1, (0, DAY), True),
        (HOUR - 1, DAY - 1, (HOUR, DAY - HOUR), True),
        (HOUR, 4 * HOUR, (HOUR, 4 * HOUR), False),
        (HOUR - 1, 3 * HOUR, (HOUR, 3 * HOUR), True),
        # Two hours and less, or none that is whole.
        (0, 2 * HOUR, None, True),
        (HOUR + 1, 3 * HOUR, None, True),
        (5, 6, None, True),
        # Rollups end with DateTime, questions do not.
        (LAST_HOUR_S - DAY, 9_999_999_999, (LAST_HOUR_S - DAY, LAST_HOUR_S), True),
        (LAST_HOUR_S, 9_999_999_999, None, True),
    ],
)
def test_whole_hours_come_from_the_rollup_and_the_rest_from_events(start, end, middle, reads_events):
    chosen = plan_of(start, end, "max")
    assert (chosen.start, chosen.end) == (start, end)
    assert (chosen.middle if chosen.rollup else None, chosen.reads_events) == (middle, reads_events)


@pytest.mark.parametrize(
    ("start", "end", "middle", "reads_events"),
    [
        (0, HOUR, (0, HOUR), False),
        (1, HOUR + 59, (0, HOUR + 60), True),
        (50, HOUR + 10, (60, HOUR), True),
        (0, 660, (0, 660), False),
        # Ten minutes and less.
        (0, 600, None, True),
        (LAST_HOUR_S - HOUR, 9_999_999_999, (LAST_HOUR_S - HOUR, LAST_HOUR_S), True),
    ],
)
def test_counts_by_minute_take_whole_minutes_from_the_rollup_and_seconds_from_events(
    start, end, middle, reads_events
):
    chosen = plan_of(start, end, granularity=Granularity(60))
    assert (chosen.middle if chosen.by_minute else None, chosen.reads_events) == (middle, reads_events)
    assert plan_of(start, end, granularity=Granularity(60), aggregation="mean") == Plan(start, end)


@pytest.mark.parametrize(
    ("start", "end", "question", "days"),
    [
        (0, 3 * DAY, {}, (0, 3 * DAY)),
        (HOUR, 3 * DAY + HOUR, {}, (DAY, 3 * DAY)),
        (1, 3 * DAY + HOUR, {"aggregation": "max"}, (DAY, 3 * DAY)),
        # Sums are those of whole hours less some seconds.
        (1, 3 * DAY + HOUR, {}, (0, 3 * DAY)),
        # One whole day.
        (0, 2 * DAY - HOUR, {}, None),
        (HOUR, 3 * DAY - HOUR, {}, None),
        # Buckets that cut days.
        (0, 9 * DAY, {"granularity": Granularity(HOUR)}, None),
        (0, 9 * DAY, {"granularity": Granularity(DAY, HOUR)}, None),
        (0, 9 * DAY, {"granularity": Granularity(36 * HOUR)}, None),
        (0, 9 * DAY, {"granularity": Calendar("day", "Europe/Berlin")}, None),
        (0, 9 * DAY, {"granularity": Calendar("month")}, (0, 9 * DAY)),
        (0, 9 * DAY, {"granularity": WEEK}, (0, 9 * DAY)),
        # Without rows per day.
        (0, 9 * DAY, {"group": "source"}, None),
        (0, 9 * DAY, {"granularity": Granularity(60)}, None),
        (LAST_HOUR_S - 4 * DAY, 9_999_999_999, {}, (LAST_DAY - 3 * DAY, LAST_DAY)),
    ],
)
def test_whole_days_come_from_rows_per_day(start, end, question, days):
    assert plan_of(start, end, **question).days == days


def test_minutes_of_hours_have_no_rows_per_day():
    assert plan(Needs(frozenset(), frozenset({"requests", "minutes"}), 0, 9 * DAY)).days is None


def test_a_part_of_the_days_is_a_plan_of_days_and_the_rest_leaves_it_out():
    chosen = plan_of(0, 9 * DAY)
    part, rest = chosen.apart((DAY, 5 * DAY))
    assert part == Plan(DAY, 5 * DAY, ALL, (DAY, 5 * DAY), days=(DAY, 5 * DAY))
    assert (rest.days, rest.without) == ((0, 9 * DAY), (DAY, 5 * DAY))


@pytest.mark.parametrize(
    ("start", "end", "now", "middle"),
    [
        (1, DAY - 1, None, (0, DAY)),
        (HOUR - 1, DAY + 1, None, (HOUR, DAY)),
        (0, DAY + 1800, None, (0, DAY)),
        # Little can be later than now.
        (0, DAY + 1, DAY + 1, (0, DAY + HOUR)),
        (0, DAY + 1, DAY + 2, (0, DAY)),
        (0, DAY + 10, DAY + 12, (0, DAY + HOUR)),
        (0, DAY + 10, DAY - 9, (0, DAY + HOUR)),
        (0, DAY + 10, 9 * DAY, (0, DAY)),
        (0, DAY, DAY, (0, DAY)),
    ],
)
@pytest.mark.parametrize("aggregation", ["count", "sum", "mean"])
def test_what_adds_up_takes_the_side_of_an_edge_that_has_less_time_in_it(aggregation, start, end, now, middle):
    chosen = plan_of(start, end, aggregation, now=now, granularity=Granularity(HOUR))
    assert (chosen.start, chosen.end, chosen.middle) == (start, end, middle)
    assert chosen.subtracts == (middle[0] < start or middle[1] > end)


@pytest.mark.parametrize("aggregation", ["min", "max", "percentile_95"])
def test_what_does_not_add_up_takes_no_hour_that_is_not_whole(aggregation):
    chosen = plan_of(1, DAY - 1, aggregation, now=DAY - 1)
    assert (chosen.middle, chosen.subtracts) == ((HOUR, DAY - HOUR), False)


@pytest.mark.parametrize(
    ("quiet_until", "end", "days"),
    [
        (0, 2 * DAY + HOUR + 5, None),
        (2 * DAY + HOUR + 9, 2 * DAY + HOUR + 5, None),
        (2 * DAY + 3 * HOUR + 9, 2 * DAY + 3 * HOUR, None),
        (3 * DAY, 3 * DAY, (DAY, 3 * DAY)),
    ],
)
def test_hours_and_days_without_events_after_the_end_count_as_whole(quiet_until, end, days):
    needs = Needs(frozenset(), frozenset({"response_us_max"}), 1, 2 * DAY + HOUR + 5, quiet_until=quiet_until)
    assert plan(needs) == Plan(1, end, ALL, (HOUR, end // HOUR * HOUR), days=days)
    by_url = Needs(frozenset({"url"}), needs.measures, 1, 2 * DAY + HOUR + 5, quiet_until=quiet_until)
    assert plan(by_url) == Plan(1, 2 * DAY + HOUR + 5)


def test_a_short_range_is_read_from_events_also_where_the_rest_of_the_day_is_quiet():
    needs = Needs(frozenset(), frozenset({"response_us_max"}), 5, HOUR + 5, quiet_until=DAY)
    assert plan(needs) == Plan(5, HOUR + 5)


@pytest.mark.parametrize(
    ("end", "now", "middle", "days"),
    [
        # The day of the question is read whole, less what is beyond the range.
        (9 * DAY + 5 * HOUR + 700, 9 * DAY + 5 * HOUR + 700, (0, 10 * DAY), (0, 10 * DAY)),
        (9 * DAY + 5 * HOUR + 700, 9 * DAY + 5 * HOUR + 760, (0, 10 * DAY), (0, 10 * DAY)),
        (9 * DAY + 5 * HOUR, 9 * DAY + 5 * HOUR + 60, (0, 10 * DAY), (0, 10 * DAY)),
        # More than a minute is beyond the range.
        (9 * DAY + 5 * HOUR + 700, 9 * DAY + 5 * HOUR + 761, (0, 9 * DAY + 5 * HOUR), (0, 9 * DAY)),
        (9 * DAY + 5 * HOUR + 700, 20 * DAY, (0, 9 * DAY + 5 * HOUR), (0, 9 * DAY)),
        (9 * DAY + 5 * HOUR + 700, None, (0, 9 * DAY + 5 * HOUR), (0, 9 * DAY)),
        # Whole days end where they end.
        (9 * DAY, 9 * DAY + 5, (0, 9 * DAY), (0, 9 * DAY)),
        (9 * DAY + 5, 9 * DAY + 50, (0, 9 * DAY), (0, 9 * DAY)),
    ],
)
def test_sums_take_the_day_under_way_less_the_little_that_is_beyond_the_range(end, now, middle, days):
    chosen = plan_of(0, end, now=now)
    assert (chosen.middle, chosen.days, chosen.end) == (middle, days, end)
    assert plan_of(0, end, now=now, granularity=Granularity(HOUR)).days is None
    assert plan_of(0, end, "max", now=now).days == (0, 9 * DAY)


def test_percentiles_are_exact_over_a_day_of_events_and_estimated_from_rollups_and_over_more():
    by_url = {"aggregation": "percentile_95", "group": "url"}
    assert not plan_of(START, START + DAY, **by_url).estimates
    assert plan_of(START, START + DAY + 1, **by_url).estimates
    assert plan_of(START, START + DAY, "percentile_95").estimates
    assert not plan_of(START, START + 2 * HOUR, "percentile_95").estimates


def test_rollups_are_sorted_by_their_rows_and_the_first_that_can_answers():
    tiny = Rollup("tiny", frozenset({"method"}), frozenset({"requests"}))
    large = Rollup("large", frozenset({"method", "url"}), frozenset({"requests", "errors"}))
    needs = Needs(frozenset({"method"}), frozenset({"requests"}), 0, DAY)
    assert plan(needs, [tiny, large]).rollup is tiny
    assert plan(Needs(frozenset({"url"}), frozenset({"requests"}), 0, DAY), [tiny, large]).rollup is large
    assert plan(Needs(frozenset({"method"}), frozenset({"errors"}), 0, DAY), [tiny, large]).rollup is large
    assert plan(needs, []).rollup is None


def test_errors_are_counted_or_told_from_the_status_in_every_rollup():
    for rollup in ROLLUPS:
        assert rollup.covers(frozenset(), frozenset({"errors"}))
    assert METHODS.column("errors") == CONSUMERS.column("errors") == "errors"
    assert COMBINATIONS.column("errors") == ORIGINS.column("errors") == "if(status_code >= 400, requests, 0)"
    assert not Rollup("tiny", frozenset(), frozenset({"requests"})).covers(frozenset(), frozenset({"errors"}))


NOW = 20_030 * DAY + 5000
TODAY = NOW // HOUR * HOUR
MINUTE, MEAN = Granularity(60), {"aggregation": "mean"}


@pytest.mark.parametrize(
    ("start", "end", "question", "middle", "minutes"),
    [
        # By the minute; of ranges up to two hours.
        (TODAY - 3600, TODAY, {"granularity": MINUTE}, None, (TODAY - 3600, TODAY)),
        (TODAY - 3599, TODAY + 61, {"granularity": MINUTE}, None, (TODAY - 3540, TODAY + 60)),
        (TODAY - 3600, TODAY, {}, (TODAY - 3600, TODAY), None),
        # At edges of more than a minute.
        (TODAY - DAY + 600, TODAY + 700, {}, (TODAY - DAY + HOUR, TODAY), (TODAY - DAY + 600, TODAY + 660)),
        (TODAY - DAY - 60, TODAY + 700, {}, (TODAY - DAY, TODAY), (TODAY - DAY, TODAY + 660)),
        (TODAY - 9 * DAY, TODAY + 700, {}, (TODAY - 9 * DAY, TODAY), (TODAY - 9 * DAY, TODAY + 660)),
        # Sums: of the minutes that are nearest, and the whole hour where nothing of it is beyond the range yet.
        (TODAY + 629 - DAY, NOW, MEAN, (TODAY + HOUR - DAY, TODAY + HOUR), (TODAY + 600 - DAY, TODAY + HOUR)),
    ],
)  # fmt: skip
def test_rows_per_minute_of_recent_days_answer_for_minutes_and_edges(start, end, question, middle, minutes):
    chosen = plan_of(start, end, **{"aggregation": "percentile_95", **question}, now=NOW)
    assert (chosen.rollup, chosen.middle, chosen.minutes) == (ALL, middle or (start, start), minutes)


@pytest.mark.parametrize(
    ("start", "end", "question"),
    [
        # Edges of a minute, ten minutes and less, other buckets, older minutes.
        (TODAY - DAY, TODAY + 60, {}),
        (TODAY - 600, TODAY, {}),
        (TODAY - 7200, TODAY, {"granularity": Granularity(90)}),
        (TODAY - 4 * DAY, TODAY - 4 * DAY + 3600, {"granularity": MINUTE}),
        # Dimensions and measures without minutes.
        (TODAY - 3600, TODAY, {"group": "source", "aggregation": "max"}),
        (TODAY - 3600, TODAY, {"value": "ttfb_us"}),
        (TODAY - 3600, TODAY, {"group": "route", "filters": only("method", "GET"), "aggregation": "max"}),
    ],
)
def test_other_questions_read_no_rows_per_minute(start, end, question):
    question = {"aggregation": "percentile_95", **question}
    assert plan_of(start, end, **question, now=NOW) == plan_of(start, end, **question)


def test_without_the_time_of_the_question_no_rows_per_minute_are_read():
    assert plan_of(TODAY - 3600, TODAY, "percentile_95", granularity=MINUTE).minutes is None
