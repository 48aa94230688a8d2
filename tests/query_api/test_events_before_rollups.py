"""Answers at the moment between an insert's events and its rollups, which a reader of a server may see.

The views are detached: events beyond the range are stored, and no rollup has them.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from apimetry.query_api.alerting.measuring import measurement
from apimetry.query_api.alerting.past import Moments, past_values
from apimetry.query_api.breakdown.answer import answer_breakdown
from apimetry.query_api.breakdown.params import parse_breakdown
from apimetry.query_api.overview import sql as overview_sql
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import parse_timeseries
from apimetry.query_api.timeseries.reading import Limits
from apimetry.store.accounts.accounts import RequestLimits
from tests.query_api.alerting.test_measuring import ROLLUP_METRICS, rule
from tests.query_api.summary.test_answer import HOUR, START, summary
from tests.support.oracles.query_events import Event, insert_events

BEGIN = START // HOUR * HOUR
END = BEGIN + 30 * HOUR + 2_000
NOW = END + 5


@pytest.fixture
def torn(embedded_store):
    """A store whose rollups lack the newest events, all of them beyond END."""
    earlier = [
        Event(timestamp=(BEGIN + second) * 1_000_000, route="/old", consumer_id="old") for second in (60, 7_300)
    ]
    insert_events(
        embedded_store, [*earlier, Event(timestamp=(END - 700) * 1_000_000, route="/old", consumer_id="old")]
    )
    views = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'"
    for (view,) in embedded_store.query(views):
        embedded_store.command(f"DETACH TABLE {view}")
    beyond = Event(
        timestamp=(END + 1) * 1_000_000,
        route="/new",
        consumer_id="new",
        status_code=500,
        response_us=70_000,
        request_bytes=8,
        sample_weight=9,
    )
    insert_events(
        embedded_store, [beyond, replace(beyond, route="/old", consumer_id="old", sample_weight=1)], token="beyond"
    )
    return embedded_store


def test_no_point_of_a_timeseries_is_below_none(torn):
    groupings = [], [("group", "route")], [("group", "consumer_id"), ("limit", "1")]
    grains = [], [("granularity", "hour")], [("granularity", "minute")]
    for aggregation, more, grain in itertools.product(["count", "sum", "mean"], groupings, grains):
        query = parse_timeseries(str(BEGIN), str(END), [("aggregation", aggregation), *more, *grain], max_groups=9)
        groups = answer_timeseries(query, "shop", ask=torn.ask, limits=Limits(9, 1_000), now=NOW)["groups"]
        values = [value for points in groups.values() for _, value in points]
        assert all(value is None or 0 <= value <= 3 for value in values), groups
        assert aggregation != "count" or values
        assert not {"/new", "new"} & set(groups)


@pytest.mark.parametrize("by", ["route", "consumer_id", "status_code"])
def test_no_row_of_a_table_is_below_none(torn, by):
    measures = [("measures", "requests,errors,meanMs,bytes"), ("series", "30")]
    query = parse_breakdown([("by", by), *measures, ("start", str(BEGIN)), ("end", str(END))], NOW)
    answer = answer_breakdown(query, "shop", ask=torn.ask, now=NOW)
    assert answer["total"]["requests"] <= 3
    for row in answer["rows"]:
        assert row["requests"] <= 3
        assert row["errors"] == 0
        assert all(requests <= 3 for requests in row["series"])
    assert ["new"] not in [row["key"] for row in answer["rows"]]


def test_no_figure_of_a_summary_is_below_none(torn):
    for parameters in ([], [("exclude", "route:/none")], [("include", "route:/new")]):
        answer = summary(torn, parameters, start=BEGIN, end=END, now=NOW)
        assert answer["requests"] <= 3
        assert answer["peakRequestsPerMinute"] <= 1
        assert answer["consumers"] <= 1
        assert answer["requestBytes"] == answer["serverErrors"] == 0


def test_the_overview_counts_no_request_below_none(torn):
    assert torn.ask(overview_sql.stored(["shop"], END - 24 * HOUR, END)) == [(3, 0)]


def test_no_rule_measures_below_none(torn):
    for metric in ROLLUP_METRICS:
        ((requests, measure),) = torn.ask(measurement(rule(metric, 24 * HOUR), END))
        assert requests <= 3
        assert measure <= 70_000
        moments = Moments(END - 600, 600, 2)
        values = list(past_values(rule(metric, 24 * HOUR), moments, RequestLimits(), ask=torn.ask))
        assert all(value is None or value <= 100 for value in values)
