"""The latency buckets that rollups count, as whole numbers (`store.rollups` describes them). Pure.

`rows_sql` has the same buckets as SQL, and the percentiles that are made of them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from apimetry.store.rollups import BUCKETS_PER_DOUBLING


def bucket_of(value: int) -> int:
    """Return the bucket that holds a value."""
    bucket = int(BUCKETS_PER_DOUBLING * math.log2(value + 1))
    # A logarithm can be off by the last of its bits.
    while bounds_of(bucket)[1] < value:
        bucket += 1
    while bounds_of(bucket)[0] > value:
        bucket -= 1
    return bucket


def bounds_of(bucket: int) -> tuple[int, int]:
    """Return the lowest and the highest whole number in a bucket; of an empty bucket the lowest is the higher one."""
    lowest = math.ceil(2 ** (bucket / BUCKETS_PER_DOUBLING)) - 1
    return lowest, math.ceil(2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING)) - 2


def buckets_at(weights: Mapping[int, int], levels: Sequence[float]) -> list[int]:
    """Return the bucket at each of `levels`, as the engine does; `weights` has the requests in each bucket."""
    ordered = sorted(weights)
    added = list(accumulate(weights[bucket] for bucket in ordered))
    return [ordered[bisect_left(added, math.ceil(level * added[-1]))] for level in levels]


def whole_percentile(bucket: int, highest: int) -> int:
    """Return the percentile that lies in a bucket, of values up to `highest`, as a whole number."""
    return round(min(float(highest), middle_of(bucket)))


def middle_of(bucket: int) -> float:
    """Return a bucket's middle, as `rows_sql.middle_of_bucket` does."""
    lowest, highest = bounds_of(bucket)
    return 2 * lowest * highest / max(lowest + highest, 1)
