"""Which table answers."""

import pytest

from apimetry.query_api.params import Filter, Granularity, TimeseriesQuery
from apimetry.query_api.planner import RAW, SOURCES, Source, plan

MINUTES = Source("m", 60, frozenset({"method", "status_code"}), frozenset({"response_us"}), keeps_percentiles=False)
HOURS = Source("h", 3600, frozenset({"method"}), frozenset({"response_us"}), keeps_percentiles=True)
ALL = (RAW, MINUTES, HOURS)
DAY = 86400


@pytest.mark.parametrize(
    ("query", "source"),
    [
        (TimeseriesQuery(0, DAY), HOURS),
        (TimeseriesQuery(0, DAY, granularity=Granularity(3600)), HOURS),
        (TimeseriesQuery(0, DAY, granularity=Granularity(7200)), HOURS),
        (TimeseriesQuery(0, DAY, granularity=Granularity(604800, -3 * DAY)), HOURS),
        (TimeseriesQuery(0, DAY, granularity=Granularity(5400)), MINUTES),
        (TimeseriesQuery(0, DAY, granularity=Granularity(60)), MINUTES),
        (TimeseriesQuery(60, DAY), MINUTES),
        (TimeseriesQuery(0, DAY + 60), MINUTES),
        (TimeseriesQuery(1, DAY), RAW),
        (TimeseriesQuery(0, DAY - 1), RAW),
        (TimeseriesQuery(0, DAY, granularity=Granularity(90)), RAW),
        (TimeseriesQuery(0, DAY, group="method"), HOURS),
        (TimeseriesQuery(0, DAY, group="status_code"), MINUTES),
        (TimeseriesQuery(0, DAY, group="url"), RAW),
        (TimeseriesQuery(0, DAY, filters=(Filter("status_code", (404,)),)), MINUTES),
        (TimeseriesQuery(0, DAY, group="method", filters=(Filter("url", ("/",), excludes=True),)), RAW),
        (TimeseriesQuery(0, DAY, "mean", "response_us"), HOURS),
        (TimeseriesQuery(0, DAY, "mean", "ttfb_us"), RAW),
        (TimeseriesQuery(0, DAY, "count", "ttfb_us"), HOURS),
        (TimeseriesQuery(0, DAY, "percentile_95"), HOURS),
        (TimeseriesQuery(60, DAY, "percentile_95"), RAW),
    ],
)
def test_the_coarsest_table_that_fits_without_a_remainder_answers(query, source):
    assert plan(query, ALL) is source


def test_raw_events_answer_everything():
    query = TimeseriesQuery(1, 2, "percentile_7", "ttfb_us", Granularity(1), "url", (Filter("version", ("1",)),))
    assert plan(query, [RAW]) is RAW
    assert RAW in SOURCES


def test_no_fitting_table_is_an_error():
    with pytest.raises(LookupError):
        plan(TimeseriesQuery(1, 2), [HOURS])
