"""Days, weeks and months of a zone: against the standard library's local dates, in Python and in the engine."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimetry.query_api.planning.bucket_sql import bucket_of_rows, bucket_parameters, time_of_bucket
from apimetry.query_api.planning.calendar import CALENDAR_UNITS, Calendar, checked_zone
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Plan
from apimetry.serving.errors import BadRequest

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # the clocks skip midnight
    "America/St_Johns",  # half hours; until 2011 they changed at a minute past midnight
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Africa/Casablanca",
    "Pacific/Apia",  # a day is missing in 2011
    "Africa/Monrovia",  # until 1972, 44 minutes and a half
    "Pacific/Kiritimati",
]
DAY = 86_400


def local_date(time_s, zone):
    return datetime.fromtimestamp(time_s, ZoneInfo(zone)).date()


def first_date(time_s, zone, unit):
    date = local_date(time_s, zone)
    if unit == "month":
        return date.replace(day=1)
    return date - timedelta(date.weekday()) if unit == "week" else date


times = st.integers(0, 3 * 10**9)
zones, units = st.sampled_from(ZONES), st.sampled_from(CALENDAR_UNITS)


@given(times, zones, units)
def test_a_bucket_begins_at_the_first_second_of_its_first_local_date(time_s, zone, unit):
    calendar = Calendar(unit, zone)
    start = calendar.floor(time_s)
    assert start <= time_s or zone == "America/St_Johns"
    assert first_date(time_s, zone, unit) == first_date(start, zone, unit) or zone == "Pacific/Apia"
    assert calendar.index(start) == calendar.index(time_s) or zone == "Pacific/Apia"


@settings(deadline=None)
@given(times, st.integers(1, 90 * DAY), zones, units)
def test_every_time_of_a_range_has_one_of_its_buckets(start, span, zone, unit):
    calendar = Calendar(unit, zone)
    indexes = calendar.indexes(start, start + span)
    rng = random.Random(span)
    inside = [start, start + span - 1, *(rng.randrange(start, start + span) for _ in range(20))]
    assert {calendar.index(time_s) for time_s in inside} <= set(indexes)
    starts = calendar.starts(start, start + span)
    assert list(starts) == sorted(starts)
    assert len(starts) == len(indexes)


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("America/Santiago", (2025, 9, 7), 23),
    ],
)
def test_a_day_on_which_the_clocks_change_has_23_or_25_hours(zone, date, hours):
    calendar = Calendar("day", zone)
    noon = int(datetime(*date, 12, tzinfo=ZoneInfo(zone)).timestamp())
    index = calendar.index(noon)
    assert calendar.starts_at(index + 1) - calendar.starts_at(index) == hours * 3600


@pytest.mark.parametrize(
    ("zone", "grain"),
    [
        ("UTC", Granularity(DAY)),
        ("Europe/Berlin", Granularity(3600)),
        ("Asia/Kolkata", Granularity(60)),
        ("Asia/Kathmandu", Granularity(60)),
        ("Australia/Lord_Howe", Granularity(60)),
        ("Pacific/Kiritimati", Granularity(3600)),
    ],
)
def test_the_grain_is_the_coarsest_that_no_bucket_cuts(zone, grain):
    start = int(datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp())
    calendar = Calendar("day", zone)
    assert calendar.grain(start, start + 365 * DAY) == grain
    assert all(bucket % grain.seconds == 0 for bucket in calendar.starts(start, start + 365 * DAY))


def test_lateness_of_moved_buckets_shows_in_the_grain():
    assert Calendar("month").moved(1800).grain(0, DAY) == Granularity(DAY, DAY - 1800)
    assert Calendar("day", "Europe/Berlin").moved(7 * DAY).grain(10**9, 10**9 + DAY) == Granularity(3600, 0)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../etc/passwd", "europe/berlin", "America", "\0", "+02:00", "x" * 999]
)
def test_an_unknown_zone_is_refused_with_its_name(name):
    with pytest.raises(BadRequest, match=r"tz is .*; allowed: the name of a time zone such as Europe/Berlin"):
        checked_zone(name)


def test_without_a_zone_it_is_utc():
    assert (checked_zone(None), checked_zone("UTC"), checked_zone("Asia/Tokyo")) == ("UTC", "UTC", "Asia/Tokyo")


def test_the_engine_finds_the_buckets_that_the_calendar_has(store):
    rng = random.Random(7)
    for zone in ZONES:
        for unit in CALENDAR_UNITS:
            start = rng.choice([0, rng.randrange(2 * 10**9)])
            end = start + rng.choice([3 * DAY, 400 * DAY, 4000 * DAY])
            calendar = Calendar(unit, zone).moved(rng.choice([0, 0, 604_800, 12_345]))
            edges = [change + d for change in calendar.offsets(start, end).changes for d in (-3601, -1, 0, 1, 3599)]
            drawn = [rng.randrange(start, end) for _ in range(50)]
            times = [t for t in (start, end - 1, *drawn, *(e - calendar.shift_s for e in edges)) if start <= t < end]
            column = bucket_of_rows(calendar, Plan(start, end)).of_events
            times_sql = "SELECT fromUnixTimestamp64Micro(arrayJoin({times:Array(Int64)})) AS timestamp"
            ((result,),) = store.query(
                f"SELECT groupArray({column}) FROM ({times_sql})",
                {"times": [t * 1_000_000 + 999_999 for t in times], **bucket_parameters(calendar, start, end)},
            )
            assert result == [calendar.index(t) for t in times], (zone, unit)
            assert list(map(time_of_bucket(calendar), result)) == [calendar.floor(t) for t in times]
