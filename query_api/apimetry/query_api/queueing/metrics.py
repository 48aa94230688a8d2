"""The figures of the service's queues, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from apimetry.query_api.queueing.fair_queue import FairQueue, Refusal


class QueueMetrics(Collector):
    """Reads the figures of all queues at each scrape; the labels are closed sets."""

    def __init__(self, queues: Mapping[str, FairQueue]) -> None:
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of all queues."""
        waiting = GaugeMetricFamily(
            "apimetry_query_queue_waiting", "Requests that wait for a slot.", labels=["queue"]
        )
        running = GaugeMetricFamily("apimetry_query_queue_running", "Requests that run.", labels=["queue"])
        refused = CounterMetricFamily(
            "apimetry_query_queue_refused", "Requests answered 503 instead of a slot.", labels=["queue", "reason"]
        )
        abandoned = CounterMetricFamily(
            "apimetry_query_queue_left", "Requests whose client left before the answer.", labels=["queue"]
        )
        for name, queue in self._queues.items():
            waiting.add_metric([name], queue.waiting)
            running.add_metric([name], queue.running + queue.aside)
            abandoned.add_metric([name], queue.left)
            for reason in Refusal:
                refused.add_metric([name, reason.value], queue.refused[reason])
        yield from (waiting, running, refused, abandoned)
