"""Percentiles as buckets of latency."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from apimetry.query_api.planning.latency_buckets import buckets_at


@given(
    st.dictionaries(st.integers(0, 1152), st.integers(1, 50), min_size=1),
    st.lists(st.floats(0.01, 0.999), min_size=1, max_size=3).map(sorted),
)
def test_the_bucket_at_a_level_is_that_of_the_request_at_its_place(weights, levels):
    requests = sorted(bucket for bucket, weight in weights.items() for _ in range(weight))
    assert buckets_at(weights, levels) == [requests[math.ceil(level * len(requests)) - 1] for level in levels]
