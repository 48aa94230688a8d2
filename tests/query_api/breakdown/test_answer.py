"""Breakdowns over a real engine, both ways, against counting by hand and against the timeseries."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from apimetry.query_api.breakdown.answer import MAX_KEY_BYTES, answer_breakdown
from apimetry.query_api.breakdown.measures import MEASURES, SEEN
from apimetry.query_api.breakdown.params import parse_breakdown
from apimetry.query_api.breakdown.response import BreakdownRow, PreviousFigures
from apimetry.query_api.planning.filters import GROUPS
from apimetry.query_api.planning.group_limit import MAX_GROUPS
from apimetry.query_api.timeseries.answer import answer_timeseries
from apimetry.query_api.timeseries.params import TimeseriesQuery
from apimetry.query_api.timeseries.reading import Limits
from apimetry.serving.errors import BadRequest
from tests.support.oracles.query_breakdown import figure, grouped, in_buckets, iso, seen_at
from tests.support.oracles.query_events import Event, insert_events, random_events

START = 1_413_295_200
DAY = 86_400
END = START + 4 * DAY
PERCENTILES = ("p50Ms", "p75Ms", "p90Ms", "p95Ms", "p99Ms", "ttfbP95Ms")
ALL = ",".join(MEASURES)


def query_of(by, start=START, end=END, **parameters):
    named = {"by": by, "start": str(start), "end": str(end), **{k: str(v) for k, v in parameters.items()}}
    filters = [("include", value) for value in parameters.get("include", ())]
    filters += [("exclude", value) for value in parameters.get("exclude", ())]
    return parse_breakdown([*((k, v) for k, v in named.items() if k not in ("include", "exclude")), *filters], END)


def answered(store, query, application, now=None):
    return answer_breakdown(query, application, ask=store.ask, now=now)


@pytest.fixture
def application(request):
    """The id of an application of the test's own."""
    return f"a{zlib.crc32(request.node.nodeid.encode())}"


def insert(store, application, events):
    """Store events as the application's; what another application has makes no difference."""
    insert_events(store, [replace(e, application=application) for e in events], token=application)


def close(measure, expected, *, estimated):
    """An expected figure, as near as the answer must come: 2 % where it is of buckets, and both are rounded."""
    if measure in PERCENTILES and expected is not None and estimated:
        return pytest.approx(expected, rel=0, abs=0.02 * expected + 0.1001)
    return expected


def check(store, application, events, query):
    """Assert that an answer is what counting says; return it."""
    answer = answered(store, query, application)
    groups = grouped(events, query)
    before = grouped(events, query, *query.compared) if query.compared else {}
    keys = {*groups, *(before if query.rows.by_change else ())}
    assert answer["pagination"]["total"] == len(keys), query
    assert answer["total"] == total(groups), query
    page = query.rows.page
    assert len(answer["rows"]) == min(max(0, len(keys) - page.offset), page.limit), query
    if query.compared:
        assert answer["previous"] == dict(zip(("start", "end"), query.compared, strict=True), total=total(before))
    for row in answer["rows"]:
        key = tuple(row["key"])
        expected = {"key": row["key"], **figures(answer, query.measures, groups, key)}
        if query.compared:
            expected["previous"] = figures(answer, set(query.measures) - set(SEEN), before, key)
        if query.series:
            expected["series"] = in_buckets(groups.get(key, []), answer["seriesStarts"], query.end)
        times = {name: row.pop(name) for name in SEEN if name in query.measures}
        assert row == expected, query
        check_seen(times, events, query, answer, key)
    return answer


def figures(answer, measures, groups, key):
    events, everything = groups.get(key, []), [event for of_row in groups.values() for event in of_row]
    return {
        name: close(name, figure(name, events, everything), estimated=answer["estimated"])
        for name in measures
        if name not in SEEN
    }


def check_seen(shown_times, events, query, answer, key):
    if shown_times:
        start = 0 if answer["seenPrecision"] == "hour" else query.start
        of_key = grouped(events, query, start, query.end).get(key, [])
        possible = seen_at(of_key, answer["seenPrecision"]) if of_key else [{None}] * 2
        assert all(
            shown_times[name] in times for name, times in zip(SEEN, possible, strict=True) if name in shown_times
        ), query


def total(groups):
    everything = [event for of_row in groups.values() for event in of_row]
    return {name: figure(name, everything, everything) for name in ("requests", "errors")}


def random_question(rng):
    parameters = {}
    if rng.random() < 0.5:
        parameters["include"] = rng.sample(
            ["method:GET", "status_code:200", "route:/", "consumer_id:alice", "version:1.0"], 1
        )
    if rng.random() < 0.3:
        parameters["exclude"] = rng.sample(["status_class:5xx", "status_code:404", "consumer_id:", "source:api"], 1)
    if rng.random() < 0.3:
        parameters["search"] = rng.choice(["e", "TEM", "0", "/", "ü", "xx", "'"])
    if rng.random() < 0.4:
        parameters["compare"] = rng.choice(["previous", "week", START + 5000])
    if rng.random() < 0.4:
        parameters["series"] = rng.choice([1, 7, 24, 60])
    start = START + rng.choice([0, 0, 1, 1799, 90_000])
    sort = rng.choice(sorted(MEASURES))
    return query_of(
        ",".join(rng.sample(GROUPS, rng.choice([1, 1, 1, 2, 3]))),
        start,
        start + rng.choice([1, 3600, 7201, DAY, 200_000]),
        measures=",".join(rng.sample(sorted(MEASURES), rng.randrange(1, 8))),
        sort=f"change:{sort}" if "compare" in parameters and sort not in SEEN else sort,
        order=rng.choice(["asc", "desc"]),
        limit=rng.choice([1, 3, 1000]),
        offset=rng.choice([0, 0, 1]),
        **parameters,
    )


def test_every_dimension_and_measure_agrees_with_counting(shared_store, application):
    events = random_events(21, 2500, START, END)
    insert(shared_store, application, events)
    rng = random.Random(22)
    for by in GROUPS:
        check(shared_store, application, events, query_of(by, measures=ALL))
    sources = set()
    for _ in range(60):
        answer = check(shared_store, application, events, random_question(rng))
        sources.add((answer["source"], answer["estimated"]))
    assert sources >= {("rollup", False), ("rollup", True), ("events", False), ("events", True)}


def series_of(store, application, query, aggregation, by, **changes):
    """The timeseries without a granularity: its value by group."""
    question = TimeseriesQuery(query.start, query.end, (aggregation,), groups=(by,), filters=query.filters, **changes)
    limits = Limits(max_points=100_000, max_groups=10_000)
    groups = answer_timeseries(question, application, ask=store.ask, limits=limits)["groups"]
    return {key: points[0][1] for key, points in groups.items()}


def test_every_figure_is_the_timeseries_value_of_its_group(shared_store, application):
    events = random_events(23, 2000, START, END)
    insert(shared_store, application, events)
    for by in GROUPS:
        for end in (START + 7000, END - 1234):
            query = query_of(by, START + 77, end, measures=ALL, exclude=["method:DELETE"], limit=1000)
            answer = answered(shared_store, query, application)
            rows = {row["key"][0]: row for row in answer["rows"]}
            assert {key: row["requests"] for key, row in rows.items()} == series_of(
                shared_store, application, query, "count", by
            )
            means = series_of(shared_store, application, query, "mean", by)
            assert {k: row["meanMs"] for k, row in rows.items() if row["meanMs"] is not None} == pytest.approx(
                {key: value / 1000 for key, value in means.items()}, abs=0.05001
            )
            tops = series_of(shared_store, application, query, "max", by)
            assert {k: row["maxMs"] for k, row in rows.items() if row["maxMs"] is not None} == pytest.approx(
                {key: value / 1000 for key, value in tops.items()}, abs=0.05001
            )
            for number, value, name in ((95, "response_us", "p95Ms"), (95, "ttfb_us", "ttfbP95Ms")):
                percentiles = series_of(shared_store, application, query, f"percentile_{number}", by, value=value)
                assert {k: row[name] for k, row in rows.items() if row[name] is not None} == pytest.approx(
                    {key: us / 1000 for key, us in percentiles.items()}, rel=0.04, abs=0.051
                )


@pytest.fixture(scope="module")
def few():
    """Events of four routes, one without any measured time."""
    of_route = {"/a": (5, 500, 30_000), "/b": (3, 200, 90_000), "/c": (3, 404, 1_000), "/d": (9, 200, None)}
    return [
        Event(timestamp=(START + number) * 1_000_000, route=route, status_code=status, response_us=us, method=method)
        for route, (count, status, us) in of_route.items()
        for number, method in zip(range(count), ("GET", "POST") * 5, strict=False)
    ]


@pytest.fixture(scope="module")
def stored(shared_store, few):
    insert(shared_store, "few", few)
    return shared_store


def few_answered(store, *arguments, **parameters):
    return answered(store, query_of(*arguments, **parameters), "few")


def routes(answer):
    return [row["key"][0] for row in answer["rows"]]


@pytest.mark.parametrize(
    ("sort", "order", "expected"),
    [
        ("requests", "desc", ["/d", "/a", "/b", "/c"]),
        ("requests", "asc", ["/b", "/c", "/a", "/d"]),
        ("errors", "desc", ["/a", "/c", "/d", "/b"]),
        ("errorRate", "desc", ["/a", "/c", "/d", "/b"]),
        ("meanMs", "desc", ["/b", "/a", "/c", "/d"]),
        ("meanMs", "asc", ["/c", "/a", "/b", "/d"]),
        ("p95Ms", "desc", ["/b", "/a", "/c", "/d"]),
        ("p95Ms", "asc", ["/c", "/a", "/b", "/d"]),
        ("timeShare", "desc", ["/b", "/a", "/c", "/d"]),
    ],
)
@pytest.mark.parametrize("end", [START + 60, START + DAY])
def test_rows_are_sorted_by_a_measure_then_requests_then_name_and_unknown_ones_are_last(
    stored, sort, order, expected, end
):
    answer = few_answered(stored, "route", end=end, sort=sort, order=order)
    assert routes(answer) == expected
    assert set(answer["rows"][0]) == {"key", "requests", "errors"}


def test_pages_make_up_the_table_and_each_has_its_totals(stored):
    whole = few_answered(stored, "route,method")
    pages = [few_answered(stored, "route,method", limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [row for page in pages for row in page["rows"]] == whole["rows"]
    assert [page["pagination"] for page in pages] == [
        {"total": 8, "limit": 3, "offset": offset, "hasMore": offset < 6} for offset in (0, 3, 6, 9)
    ]
    assert all(page["total"] == {"requests": 20, "errors": 8} for page in (whole, *pages))


def test_without_events_there_are_no_rows(stored):
    answer = few_answered(stored, "route", START - DAY, START, measures=ALL)
    assert (answer["rows"], answer["total"]) == ([], {"requests": 0, "errors": 0})
    assert answer["pagination"] == {"total": 0, "limit": 100, "offset": 0, "hasMore": False}


@pytest.mark.parametrize("text", ["'", "\\", "') OR ('1'='1", "%", "_", "{search:String}", "\0", "/A", "ÄÖ"])
def test_search_finds_the_text_itself_in_small_and_capital_letters(shared_store, application, text):
    routes_ = ["/plain", f"/x{text}y", f"/x{text.upper()}y"]
    insert(shared_store, application, [Event(timestamp=START * 1_000_000, route=route) for route in routes_])
    answer = answered(shared_store, query_of("route,method", search=text), application)
    assert set(routes(answer)) == set(routes_[1:]) | ({"/plain"} if text.lower() in "/plain" else set())
    assert answer["total"]["requests"] == (3 if text.lower() in "/plain" else 2)


def test_percentiles_that_no_rollup_has_are_read_for_the_rows_of_the_page_alone(shared_store, application):
    events = random_events(24, 1500, START, END)
    insert(shared_store, application, events)
    query = query_of("route,method", measures="requests,p95Ms", limit=2, offset=1)
    answer = check(shared_store, application, events, query)
    assert (len(answer["rows"]), answer["source"], answer["estimated"]) == (2, "events", True)
    answer = check(
        shared_store,
        application,
        events,
        query_of("source,version,status_code", measures="requests,errorRate,meanMs"),
    )
    assert (answer["source"], answer["estimated"]) == ("rollup", False)


def test_hostile_keys_of_a_page_come_back_whole(shared_store, application):
    hostile = ["'", "\\", "\0", "a\nb\tc", "{x:Int}", '"', "\\'", "", "ü😀"]
    events = [
        Event(timestamp=(START + n * 7000) * 1_000_000, route=text, version=text[::-1], response_us=n * 1000)
        for n, text in enumerate(hostile)
    ]
    insert(shared_store, application, events)
    for by in ("route", "version", "route,version", "version,status_code,route"):
        check(shared_store, application, events, query_of(by, measures=ALL, limit=1000))


def test_one_more_group_than_can_be_held_is_a_400_that_says_what_helps(shared_store, application):
    shared_store.command(
        "INSERT INTO events (application, timestamp, url, retention_days)"
        " SELECT {application:String}, fromUnixTimestamp64Second({start:Int64}), concat('/', toString(number)), 20000"
        " FROM numbers({urls:UInt64})",
        {"application": application, "start": START, "urls": MAX_GROUPS + 1},
    )
    with pytest.raises(BadRequest, match="more than 100,000 groups: add a filter or search"):
        answered(shared_store, query_of("url", end=START + 60, limit=1), application)
    answer = answered(shared_store, query_of("url", end=START + 60, limit=1, search="/1"), application)
    assert answer["pagination"]["total"] == 11_112


def test_a_page_with_too_many_bytes_of_keys_is_a_400(shared_store, application):
    long = "x" * 8000
    urls = [f"{long}{number}" for number in range(MAX_KEY_BYTES // 8000 + 1)]
    insert(shared_store, application, [Event(timestamp=START * 1_000_000, url=url) for url in urls])
    with pytest.raises(BadRequest, match="at most 4194304 are allowed: ask for a lower limit"):
        answered(shared_store, query_of("url", end=START + 60, limit=1000), application)
    assert len(answered(shared_store, query_of("url", end=START + 60, limit=500), application)["rows"]) == 500


def test_a_row_may_have_every_measure():
    assert set(BreakdownRow.__annotations__) == {"key", *MEASURES, "previous", "series"}
    assert set(PreviousFigures.__annotations__) == {*MEASURES} - {*SEEN}


@pytest.fixture(scope="module")
def moved(shared_store):
    """Requests of two days: /up grew, /down shrank, /gone has none on the second day, /fresh none on the first."""
    days = {"/up": (1, 5), "/down": (9, 4), "/gone": (3, 0), "/fresh": (0, 2)}
    events = [
        Event(timestamp=(START + day * DAY + 60 * n) * 1_000_000, route=route, response_us=1000 * (n + 1 + day))
        for route, counts in days.items()
        for day, count in enumerate(counts)
        for n in range(count)
    ]
    insert(shared_store, "moved", events)
    return shared_store


@pytest.mark.parametrize(
    ("order", "expected"),
    [("desc", ["/up", "/fresh", "/gone", "/down"]), ("asc", ["/down", "/gone", "/fresh", "/up"])],
)
def test_a_change_sorts_what_was_gained_and_lost_with_what_is_gone(moved, order, expected):
    query = query_of("route", START + DAY, START + 2 * DAY, compare="previous", sort="change:requests", order=order)
    answer = answered(moved, query, "moved")
    assert routes(answer) == expected
    assert answer["pagination"]["total"] == 4
    (vanished,) = (row for row in answer["rows"] if row["key"] == ["/gone"])
    assert vanished == {"key": ["/gone"], "requests": 0, "errors": 0, "previous": {"requests": 3, "errors": 0}}


def test_a_change_from_or_to_an_unknown_latency_is_last(moved):
    for order in ("asc", "desc"):
        query = query_of("route", START + DAY, START + 2 * DAY, compare="previous", sort="change:meanMs", order=order)
        assert set(routes(answered(moved, query, "moved"))[2:]) == {"/gone", "/fresh"}


def test_a_comparison_adds_no_row_unless_the_change_sorts(moved):
    query = query_of("route", START + DAY, START + 2 * DAY, compare="previous", measures="requests,share,timeShare")
    answer = answered(moved, query, "moved")
    assert routes(answer) == ["/up", "/down", "/fresh"]
    assert answer["previous"] == {"start": START, "end": START + DAY, "total": {"requests": 13, "errors": 0}}
    assert [row["previous"]["share"] for row in answer["rows"]] == [7.7, 69.2, 0.0]


def test_buckets_of_a_sparkline_are_equal_parts_of_a_range_of_whole_units(moved):
    answer = answered(moved, query_of("route", START, START + DAY, series=24), "moved")
    assert answer["seriesStarts"] == [START + 3600 * hour for hour in range(24)]
    answer = answered(moved, query_of("route", START + 77, START + 77 + DAY, series=4), "moved")
    assert answer["seriesStarts"] == [START + 77, *(START + 21_600 * n + 3600 for n in (1, 2, 3))]
    answer = answered(moved, query_of("route", START + 77, START + 79, series=4), "moved")
    assert answer["seriesStarts"] == [START + 77, START + 78, START + 78, START + 79]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "America/New_York"])
def test_buckets_of_days_begin_at_midnight_of_the_zone(shared_store, application, zone):
    # Berlin's clocks went back on 2014-10-26, New York's a week later.
    start, end = START + 1801, START + 28 * DAY + 777
    events = random_events(36, 1200, start, end)
    insert(shared_store, application, events)
    for series in (3, 4):
        query = query_of("method", start, end, series=series, tz=zone)
        answer = check(shared_store, application, events, query)
        times = [datetime.fromtimestamp(time, ZoneInfo(zone)) for time in answer["seriesStarts"][1:]]
        assert {(time.hour, time.minute, time.second) for time in times} == {(0, 0, 0)}
    hourly = query_of("method", start, start + DAY, series=24, tz=zone)
    assert answered(shared_store, hourly, application) == answered(
        shared_store, query_of("method", start, start + DAY, series=24), application
    )


def test_first_and_last_seen_are_of_all_that_is_stored_and_sort(moved):
    named = {"measures": "firstSeen,lastSeen", "order": "desc", "sort": "firstSeen"}
    query = query_of("route", START + DAY, START + DAY + 7000, **named)
    rows = answered(moved, query, "moved", now=START + 3 * DAY + 5)["rows"]
    assert [row["key"][0] for row in rows] == ["/fresh", "/up", "/down"]
    assert [row["firstSeen"] for row in rows] == [iso(us * 10**6) for us in (START + DAY, START, START)]
    assert [row["lastSeen"] for row in rows] == [iso((START + DAY) * 10**6)] * 3
    query = query_of("url", START + DAY, START + DAY + 7000, **named)
    answer = answered(moved, query, "moved")
    assert (answer["seenPrecision"], answer["rows"][0]["firstSeen"]) == ("microsecond", iso((START + DAY) * 10**6))
