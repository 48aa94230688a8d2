"""Traffic for Prometheus: what is counted, for whom, and how much it may take."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from apimetry.collector.traffic import exposition
from apimetry.collector.traffic.buckets import CLASSIC_BOUNDS_S, ZERO_THRESHOLD_S
from apimetry.collector.traffic.exposition import write_protobuf, write_text
from apimetry.collector.traffic.table import (
    MAX_APPLICATIONS,
    MAX_SERIES,
    REST,
    REST_BYTES,
    ROUTE_CHARACTERS,
    SERIES_BYTES,
    SERIES_PER_APPLICATION,
    Traffic,
)
from apimetry.collector.traffic.tally import tally
from apimetry.store.accounts.accounts import KeyKind
from tests.support.services.collecting import KEYS, collecting, envelope, event, wire_row
from tests.support.services.keys import OTHER_WRITE_KEY

PATH = "/metrics/traffic"
WIRE = "application/msgpack"
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain"
)
requests = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["/v1/a", "/v1/{id}", ""]),
        st.sampled_from([200, 404, 500]),
        st.one_of(st.none(), st.integers(0, 2**40 - 1), st.sampled_from([0, 61, 62, 5000, 5001, 10**6, 10**6 + 1])),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=60,
)


def columns(rows):
    names = ("method", "route", "status_code", "response_us", "sample_weight")
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def counted(*batches, application="shop"):
    traffic = Traffic()
    for rows in batches:
        traffic.add(application, tally(columns(rows)))
    return traffic


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labelled(found, name, **labels):
    """The sum of the samples of a name that have these labels."""
    return sum(
        value for (its_name, *pairs), value in found.items() if its_name == name and labels.items() <= {*pairs}
    )


@given(first=requests, second=requests)
def test_text_has_the_requests_and_the_classic_histogram_of_all_batches(first, second):
    found = samples(write_text(list(counted(first, second).read(["shop"])), {"shop": "Shop"}).decode())
    rows = first + second
    for method, route, status in {row[:3] for row in rows}:
        expected = sum(weight for *key, _, weight in rows if key == [method, route, status])
        labels = {"application": "shop", "method": method, "route": route}
        assert labelled(found, "apimetry_requests_total", status=str(status), **labels) == expected
        timed = [(us, weight) for *key, us, weight in rows if key[:2] == [method, route] and us is not None]
        name = "apimetry_request_duration_seconds"
        assert labelled(found, f"{name}_sum", **labels) == pytest.approx(
            sum(us * weight for us, weight in timed) / 1e6
        )
        assert labelled(found, f"{name}_count", **labels) == sum(weight for _, weight in timed)
        for bound in CLASSIC_BOUNDS_S:
            below = sum(weight for us, weight in timed if us <= bound * 1e6)
            assert labelled(found, f"{name}_bucket", le=str(bound), **labels) == below


def test_largest_times_and_weights_are_summed_beyond_64_bits():
    traffic = counted([("GET", "/", 200, 2**40 - 1, 1_000_000)] * 40)
    (series,) = traffic.read(["shop"])
    assert series.times["GET", "/"].sum_us == 40 * 1_000_000 * (2**40 - 1)
    found = samples(write_text([series], {"shop": "Shop"}).decode())
    assert labelled(found, "apimetry_request_duration_seconds_sum") == pytest.approx(40 * (2**40 - 1))
    assert write_protobuf([series], {"shop": "Shop"})


@given(rows=requests)
def test_protobuf_has_every_time_in_its_native_bucket(rows):
    families = list(parsed(write_protobuf(list(counted(rows).read(["shop"])), {"shop": "Shop"})))
    names = [family.name.decode() for family in families]
    assert names == ["apimetry_application_info", "apimetry_requests_total", "apimetry_request_duration_seconds"]
    for body in families[2].metric:
        metric = exposition._metric.FromString(body)
        labels = dict(pair_of(each) for each in metric.label)
        timed = Counter()
        for method, route, _, us, weight in rows:
            if (method, route) == (labels["method"], labels["route"]) and us is not None:
                timed[us] += weight
        histogram = exposition._histogram.FromString(metric.histogram)
        zero = sum(number for us, number in timed.items() if us <= ZERO_THRESHOLD_S * 1e6)
        assert (histogram.sample_count, histogram.zero_count) == (timed.total(), zero)
        expected = Counter()
        for us, number in timed.items():
            if us > ZERO_THRESHOLD_S * 1e6:
                expected[math.ceil(math.log2(us / 1e6) * 2**histogram.schema)] += number
        assert native(histogram) == expected
        counts = [exposition._bucket.FromString(each).cumulative_count for each in histogram.bucket]
        assert (len(counts), counts[-1]) == (len(CLASSIC_BOUNDS_S) + 1, histogram.sample_count)


def parsed(body):
    """The families of a delimited body."""
    while body:
        size = shift = position = 0
        while True:
            byte = body[position]
            size |= (byte & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if byte < 0x80:
                break
        yield exposition._family.FromString(body[position : position + size])
        body = body[position + size :]


def pair_of(body):
    pair = exposition._label.FromString(body)
    return pair.name.decode(), pair.value.decode()


def native(histogram):
    """The number in each native bucket, by its index."""
    found, index, number, deltas = Counter(), 0, 0, iter(histogram.positive_delta)
    for each in histogram.positive_span:
        span = exposition._span.FromString(each)
        index += span.offset
        for _ in range(span.length):
            number += next(deltas)
            found[index] = number
            index += 1
    return found


def test_routes_without_end_count_as_one_with_a_class_of_statuses():
    rows = [("GET", f"/{n}", 200 + 300 * (n % 2), 100, 1) for n in range(SERIES_PER_APPLICATION + 50)]
    traffic = counted(rows, rows)
    (series,) = traffic.read(["shop"])
    assert len(series.requests) == len(traffic) == SERIES_PER_APPLICATION + 2
    assert (series.requests[REST, REST, "2xx"], series.requests[REST, REST, "5xx"]) == (50, 50)
    assert sum(series.requests.values()) == 2 * len(rows)
    traffic.add("blog", tally(columns(rows[:3])))
    (blog,) = traffic.read(["blog"])
    assert len(blog.requests) == 3


def test_full_table_takes_no_more_than_is_stated():
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        traffic = Traffic()
        for application in range(12):
            for first in range(0, SERIES_PER_APPLICATION, 100):
                # Four bytes a character, and a route that is cut.
                routes = [f"/{n:04}" + "\U0001f600" * 1000 for n in range(first, first + 100)]
                traffic.add(f"application-{application}", tally(columns([("GET", r, 200, 2**39, 1) for r in routes])))
        for application in range(MAX_APPLICATIONS + 10):
            rows = [("GET", "/", 100 * status, 2**39, 1) for status in range(1, 10)]
            traffic.add(f"small-{application}", tally(columns(rows)))
        del routes, rows
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert MAX_SERIES <= len(traffic) <= MAX_SERIES + 9 * MAX_APPLICATIONS
    assert after - before < MAX_SERIES * SERIES_BYTES + MAX_APPLICATIONS * REST_BYTES
    # Those that sent nothing for the longest time were forgotten.
    assert list(traffic.read(["application-0", "small-0"])) == []
    assert len(list(traffic.read([f"small-{MAX_APPLICATIONS}"]))) == 1


def test_long_route_is_cut():
    (series,) = counted([("GET", "/" + "a" * 2000, 200, 1, 1)]).read(["shop"])
    assert [len(route) for _, route, _ in series.requests] == [ROUTE_CHARACTERS]


async def test_endpoint_counts_new_batches_once_and_shows_a_read_key_its_application(tmp_path):
    async with collecting(tmp_path, traffic_metrics=True) as collector:
        sent = envelope([wire_row(response_us=7000), wire_row(status_code=503, sample_weight=4)])
        for _ in range(2):
            assert (await collector.post(sent, Content_Type=WIRE)).status == 200
        odd = json.dumps([event(route='/"\\\n'), event(status_code=1), event(timestamp=1)]).encode()
        assert (await collector.post(odd)).status == 200
        assert (await collector.post(json.dumps([event()]).encode(), key=OTHER_WRITE_KEY)).status == 200
        found = samples(await scrape(collector, KEYS[KeyKind.read]))
        assert labelled(found, "apimetry_requests_total") == 6
        assert labelled(found, "apimetry_requests_total", status="503", route="/v1/scores/{identity}") == 4
        assert labelled(found, "apimetry_requests_total", route='/"\\\n', method="GET", status="200") == 1
        assert {dict(labels)["application"] for _, *labels in found} == {"shop"}
        every = samples(await scrape(collector, KEYS[KeyKind.admin]))
        assert labelled(every, "apimetry_requests_total", application="blog") == 1
        assert labelled(every, "apimetry_requests_total") == 7
        assert labelled(every, "apimetry_application_info") == 2


async def test_batch_that_two_collectors_take_is_in_the_traffic_of_both(tmp_path):
    # It counts at once, and the collectors agree on its owner when they store it.
    sent = envelope([wire_row()])
    async with (
        collecting(tmp_path / "a", traffic_metrics=True) as first,
        collecting(tmp_path / "b", traffic_metrics=True) as second,
    ):
        for collector in (first, second):
            assert (await collector.post(sent, Content_Type=WIRE, X_Batch_Attempt="2")).status == 200
            scraped = samples(await scrape(collector, KEYS[KeyKind.read]))
            assert labelled(scraped, "apimetry_requests_total") == 1


async def scrape(collector, key, **headers):
    response = await collector.client.get(PATH, headers={"Authorization": f"Bearer {key}", **headers})
    assert (response.status, response.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    return await response.text()


async def test_prometheus_that_asks_for_protobuf_gets_it(tmp_path):
    async with collecting(tmp_path, traffic_metrics=True) as collector:
        headers = {"X-API-Key": KEYS[KeyKind.read], "Accept": PROTOBUF}
        response = await collector.client.get(PATH, headers=headers)
        assert response.headers["Content-Type"] == exposition.PROTOBUF
        assert len(list(parsed(await response.read()))) == 3


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("nobody", 401), (KEYS[KeyKind.write], 403)])
async def test_traffic_is_for_read_and_admin_keys_alone(tmp_path, key, status):
    async with collecting(tmp_path, traffic_metrics=True) as collector:
        assert (await collector.client.get(PATH, headers={"X-API-Key": key} if key else {})).status == status


async def test_nothing_is_counted_unless_the_operator_asks_for_it(tmp_path):
    async with collecting(tmp_path) as collector:
        assert (await collector.post(json.dumps([event()]).encode())).status == 200
        response = await collector.client.get(PATH, headers={"X-API-Key": KEYS[KeyKind.read]})
        assert response.status == 404
