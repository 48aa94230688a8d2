"""Write the collected traffic for Prometheus: classic histograms as text, native ones too in protobuf. Pure.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and io/prometheus/client/metrics.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from apimetry.collector.protobuf import BYTES, DOUBLE, INT32, SINT32, SINT64, UINT64, make_classes, message
from apimetry.collector.traffic.buckets import (
    CLASSIC,
    CLASSIC_BOUNDS_S,
    NATIVE,
    NATIVE_SCHEMA,
    NATIVE_ZERO,
    US_PER_S,
    ZERO_THRESHOLD_S,
)
from apimetry.collector.traffic.table import Series, Times

PROTOBUF_MEDIA_TYPE: Final = "application/vnd.google.protobuf"
PROTOBUF: Final = f"{PROTOBUF_MEDIA_TYPE}; proto=io.prometheus.client.MetricFamily; encoding=delimited"
APPLICATION: Final = "apimetry_application_info"
REQUESTS: Final = "apimetry_requests_total"
TIMES: Final = "apimetry_request_duration_seconds"
_HELP: Final = {
    APPLICATION: "The name of an application.",
    REQUESTS: "Requests of the application that this collector took, since it started.",
    TIMES: "Response times of the requests that have one.",
}
_COUNTER, _GAUGE, _HISTOGRAM = 0, 1, 4
"""The numbers of MetricType."""
Label = tuple[str, str]
Traffic = Sequence[Series]

_family, _metric, _label, _value, _histogram, _bucket, _span = make_classes(
    "apimetry.prometheus",
    message("MetricFamily", ("metric", 4, BYTES), name=(1, BYTES), help=(2, BYTES), type=(3, INT32)),
    message("Metric", ("label", 1, BYTES), gauge=(2, BYTES), counter=(3, BYTES), histogram=(7, BYTES)),
    message("LabelPair", name=(1, BYTES), value=(2, BYTES)),
    message("Value", value=(1, DOUBLE)),
    message(
        "Histogram",
        ("bucket", 3, BYTES),
        ("positive_span", 12, BYTES),
        ("positive_delta", 13, SINT64),
        sample_count=(1, UINT64),
        sample_sum=(2, DOUBLE),
        schema=(5, SINT32),
        zero_threshold=(6, DOUBLE),
        zero_count=(7, UINT64),
    ),
    message("Bucket", cumulative_count=(1, UINT64), upper_bound=(2, DOUBLE)),
    message("BucketSpan", offset=(1, SINT32), length=(2, UINT64)),
)


def write_text(traffic: Traffic, names: Mapping[str, str]) -> bytes:
    """Return the traffic in the text format; `names` has the names of all applications by their ids."""
    registry = CollectorRegistry()
    registry.register(_Families(traffic, names))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, traffic: Traffic, names: Mapping[str, str]) -> None:
        self._traffic = traffic
        self._names = names

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        info = GaugeMetricFamily(APPLICATION, _HELP[APPLICATION], labels=("application", "name"))
        for item in self._names.items():
            info.add_metric(item, 1)
        requests = CounterMetricFamily(REQUESTS, _HELP[REQUESTS], labels=("application", "method", "route", "status"))
        times = HistogramMetricFamily(TIMES, _HELP[TIMES], labels=("application", "method", "route"))
        for series in self._traffic:
            for label, number in series.requests.items():
                requests.add_metric((series.application, *label), number)
            for labels, measured in series.times.items():
                buckets = list(zip(_BOUNDS, _cumulative(measured), strict=True))
                times.add_metric((series.application, *labels), buckets, measured.sum_us / US_PER_S)
        yield from (info, requests, times)


_BOUNDS: Final = (*map(str, CLASSIC_BOUNDS_S), "+Inf")


def _cumulative(times: Times) -> list[int]:
    """Return how many requests took no longer than each classic bound, and how many there are."""
    counts = [0] * (len(CLASSIC_BOUNDS_S) + 1)
    for place, number in zip(CLASSIC, times.cells, strict=False):
        counts[place] += number
    return list(accumulate(counts))


def write_protobuf(traffic: Traffic, names: Mapping[str, str]) -> bytes:
    """Return the traffic in protobuf; `names` has the names of all applications by their ids."""
    one = _bytes(_value, value=1.0)
    families = (
        (
            APPLICATION,
            _GAUGE,
            (
                _metric_of([("application", application), ("name", name)], gauge=one)
                for application, name in names.items()
            ),
        ),
        (REQUESTS, _COUNTER, _requests(traffic)),
        (TIMES, _HISTOGRAM, _times(traffic)),
    )
    return b"".join(
        _delimited(_bytes(_family, name=name.encode(), help=_HELP[name].encode(), type=type_, metric=list(metrics)))
        for name, type_, metrics in families
    )


def _requests(traffic: Traffic) -> Iterator[bytes]:
    for series in traffic:
        for (method, route, status), number in series.requests.items():
            labels = [("application", series.application), ("method", method), ("route", route), ("status", status)]
            yield _metric_of(labels, counter=_bytes(_value, value=float(number)))


def _times(traffic: Traffic) -> Iterator[bytes]:
    for series in traffic:
        for (method, route), times in series.times.items():
            labels = [("application", series.application), ("method", method), ("route", route)]
            yield _metric_of(labels, histogram=_histogram_of(times))


def _histogram_of(times: Times) -> bytes:
    cumulative = _cumulative(times)
    native: dict[int, int] = {}
    for index, number in zip(NATIVE, times.cells, strict=False):
        if number:
            native[index] = native.get(index, 0) + number
    zero = native.pop(NATIVE_ZERO, 0)
    counts = list(native.values())
    return _bytes(
        _histogram,
        sample_count=cumulative[-1],
        sample_sum=times.sum_us / US_PER_S,
        bucket=[
            _bytes(_bucket, cumulative_count=number, upper_bound=bound)
            for bound, number in zip((*CLASSIC_BOUNDS_S, float("inf")), cumulative, strict=True)
        ],
        schema=NATIVE_SCHEMA,
        zero_threshold=ZERO_THRESHOLD_S,
        zero_count=zero,
        positive_span=list(_spans(list(native))),
        positive_delta=[number - before for before, number in zip((0, *counts), counts, strict=False)],
    )


def _spans(indexes: Sequence[int]) -> Iterator[bytes]:
    """Yield the runs of consecutive indexes: the gap before each, and its length."""
    end = 0
    for _, run in groupby(enumerate(indexes), lambda item: item[1] - item[0]):
        run_indexes = [index for _, index in run]
        yield _bytes(_span, offset=run_indexes[0] - end, length=len(run_indexes))
        end = run_indexes[-1] + 1


def _metric_of(labels: Iterable[Label], **values: bytes) -> bytes:
    pairs = [_bytes(_label, name=name.encode(), value=value.encode(errors="replace")) for name, value in labels]
    return _bytes(_metric, label=pairs, **values)


def _bytes(kind: Any, **fields: object) -> bytes:  # noqa: ANN401 - protobuf's classes have no types
    return kind(**fields).SerializeToString()  # type: ignore[no-any-return]


def _delimited(body: bytes) -> bytes:
    size, head = len(body), bytearray()
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*head, size)) + body
