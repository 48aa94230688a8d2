"""The period before, laid over the asked one: every point against a plain count."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.planning.calendar import CALENDAR_UNITS, Calendar
from apimetry.query_api.planning.granularity import Granularity, named_granularity
from apimetry.query_api.planning.period import change_percent, compared_period
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.serving.errors import BadRequest
from tests.support.oracles.query_events import Event, insert_events, random_events
from tests.support.services.query_service import assert_error

START = 1_413_295_200
SPAN = 40_000
EVENTS = [event for event in random_events(11, 3000, START - SPAN, START + SPAN) if event.application == "shop"]


def counted(events, query, shift_s=0, key=lambda event: "shop"):
    """Count events of `[start - shift, end - shift)` in the buckets of the asked period."""
    groups = {}
    for event in events:
        time_s = event.timestamp / 1_000_000 + shift_s
        if query.start <= time_s < query.end:
            bucket = query.granularity.floor(int(time_s)) if query.granularity else query.start
            series = groups.setdefault(key(event), {})
            series[bucket] = series.get(bucket, 0) + event.sample_weight
    return {key: sorted(map(list, series.items())) for key, series in groups.items()}


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
@pytest.mark.parametrize("unit", CALENDAR_UNITS)
async def test_local_buckets_of_the_earlier_period_lie_under_their_counterparts(embedded_service, unit, zone):
    # The clocks went back between the two periods.
    start, end = START + 35 * 86_400 + 17, START + 42 * 86_400
    events = random_events(3, 1000, start - (end - start), end)
    insert_events(embedded_service.accounts.store, events)
    query = TimeseriesQuery(start, end, granularity=Calendar(unit, zone))
    answer = await embedded_service.answer(
        f"/1/timeseries/{start}/{end}/?compare=previous&granularity={unit}&tz={zone}&fill=zero"
    )
    shop_events = [event for event in events if event.application == "shop"]
    zeros = dict.fromkeys(query.granularity.starts(start, end), 0)
    for groups, shift_s in [(answer["groups"], 0), (answer["previous"]["groups"], end - start)]:
        assert dict(groups["shop"]) == {**zeros, **dict(counted(shop_events, query, shift_s)["shop"])}


@pytest.mark.parametrize("granularity", [None, "minute", "hour", "day", "week", "7000"])
async def test_each_point_of_the_period_before_lies_under_its_counterpart(embedded_service, granularity):
    insert_events(embedded_service.accounts.store, EVENTS)
    sizes = None
    if granularity is not None:
        sizes = Granularity(int(granularity)) if granularity.isdigit() else named_granularity(granularity)
    # A span that is no whole number of any bucket.
    start, end = START + 17, START + SPAN - 100
    query = TimeseriesQuery(start, end, granularity=sizes)
    parameter = f"&granularity={granularity}" if granularity else ""
    answer = await embedded_service.answer(f"/1/timeseries/{start}/{end}/?compare=previous{parameter}")
    assert answer["groups"] == counted(EVENTS, query)
    assert answer["previous"] == {
        "groups": counted(EVENTS, query, end - start),
        "start": start - (end - start),
        "end": start,
    }


@pytest.mark.parametrize(
    ("compare", "shift_s"), [("week", 7 * 86_400), (str(START - 40_000), 40_017), (str(START), 17)]
)
async def test_a_week_or_any_earlier_start_is_laid_under_the_asked_period(embedded_service, compare, shift_s):
    events = random_events(2, 500, START - 7 * 86_400, START + SPAN)
    insert_events(embedded_service.accounts.store, events)
    query = TimeseriesQuery(START + 17, START + SPAN - 100, granularity=named_granularity("hour"))
    answer = await embedded_service.answer(
        f"/1/timeseries/{query.start}/{query.end}/?granularity=hour&compare={compare}"
    )
    shop_events = [event for event in events if event.application == "shop"]
    assert answer["groups"] == counted(shop_events, query)
    assert answer["previous"] == {
        "groups": counted(shop_events, query, shift_s),
        "start": query.start - shift_s,
        "end": query.end - shift_s,
    }


async def test_groups_are_compared_with_themselves(embedded_service):
    insert_events(embedded_service.accounts.store, EVENTS)
    query = TimeseriesQuery(START, START + SPAN)
    answer = await embedded_service.answer(
        f"/1/timeseries/{query.start}/{query.end}/?compare=previous&group=status_code&limit=2&include=method:GET"
    )
    before = counted(
        [event for event in EVENTS if event.method == "GET"], query, SPAN, lambda event: str(event.status_code)
    )
    assert len(answer["groups"]) == 2
    assert answer["previous"]["groups"] == {key: before[key] for key in answer["groups"]}


async def test_a_group_that_is_new_has_a_series_without_points_and_one_that_is_gone_has_its_own(embedded_service):
    insert_events(
        embedded_service.accounts.store,
        [
            Event(timestamp=(START + 5) * 1_000_000, consumer_id="new"),
            Event(timestamp=(START - 5) * 1_000_000, consumer_id="gone"),
        ],
    )
    path = f"/1/timeseries/{START}/{START + 60}/?compare=previous&group=consumer_id&granularity=30"
    assert (await embedded_service.answer(path))["previous"]["groups"] == {"new": [], "gone": [[START + 30, 1]]}
    filled = (await embedded_service.answer(f"{path}&fill=zero"))["previous"]["groups"]
    assert filled == {"new": [[START, 0], [START + 30, 0]], "gone": [[START, 0], [START + 30, 1]]}


async def test_nothing_is_compared_with_nothing(embedded_service):
    answer = await embedded_service.answer(
        f"/1/timeseries/{START}/{START + 60}/?compare=previous&group=route&limit=5"
    )
    assert answer["previous"]["groups"] == {}
    answer = await embedded_service.answer(f"/1/timeseries/{START}/{START + 60}/?compare=previous")
    assert answer["previous"]["groups"] == {"shop": [[START, 0]]}


async def test_what_cannot_be_compared_is_a_400(embedded_service):
    await assert_error(await embedded_service.get("/1/timeseries/10/60/?compare=previous"), 400, "before 1970")
    await assert_error(await embedded_service.get("/1/timeseries/10/60/?compare=next"), 400, "compare", "previous")
    await assert_error(await embedded_service.get("/1/timeseries/10/60/?compare=week"), 400, "before 1970")
    week = f"/1/timeseries/{START}/{START + 7 * 86_400 + 1}/?compare=week"
    await assert_error(await embedded_service.get(week), 400, "compare is 'week'", "604800 seconds")


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_periods_touch_and_are_of_one_length(start, span):
    if span > start:
        with pytest.raises(BadRequest):
            compared_period("previous", start, start + span)
    else:
        assert compared_period("previous", start, start + span) == (start - span, start)


@pytest.mark.parametrize(
    ("now", "before", "percent"),
    [(15, 10, 50), (5, 10, -50), (5, 0, None), (0, 5, -100), (2, 3, -33.3), (5, 3, 66.7)],
)
def test_change_is_in_percent_of_what_was(now, before, percent):
    assert change_percent(Fraction(now), Fraction(before)) == percent
