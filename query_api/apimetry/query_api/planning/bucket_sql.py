"""The bucket of a row as SQL, for rows of rollups and events alike, and the times of the buckets. Pure.

Equal buckets are their own first second. Buckets of a calendar are an index, which the engine computes from the local
time: the zone's offsets are values that it binds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from string import Template
from typing import TypeAlias

from apimetry.query_api.planning.calendar import MONTH, Calendar
from apimetry.query_api.planning.granularity import Granularity
from apimetry.query_api.planning.planner import Plan
from apimetry.query_api.planning.rows_sql import Column, seconds

AnyGranularity: TypeAlias = Granularity | Calendar

_EQUAL_OF_EVENTS = (
    "intDiv(toUnixTimestamp64Micro(timestamp) - {origin_us:Int64}, {bucket_us:Int64}) * {bucket_s:Int64}"
    " + {origin_s:Int64}"
)
_EQUAL_OF_ROLLUP = Template(
    "intDiv($seconds - {origin_s:Int64}, {bucket_s:Int64}) * {bucket_s:Int64} + {origin_s:Int64}"
)
_SECONDS_OF_EVENTS = "intDiv(toUnixTimestamp64Micro(timestamp), 1000000)"
_SHIFTED = Template("($seconds + {shift_s:Int64})")
_LOCAL = Template(
    "($shifted + transform(roundDown($shifted, {zone_changes:Array(Int64)}), {zone_changes:Array(Int64)},"
    " {zone_offsets:Array(Int64)}, toInt64(0)))"
)
_LOCAL_OF_ONE_OFFSET = Template("($shifted + {zone_offset:Int64})")
# The engine's division rounds towards zero: the origins are before all local times.
_INDEXES = {
    "day": Template("intDiv($local + 604800, 86400) - 7"),
    "week": Template("intDiv($local + 864000, 604800) - 1"),
    MONTH: Template(
        "toInt64(toYear(toDateTime64($local, 0, 'UTC'))) * 12 + toMonth(toDateTime64($local, 0, 'UTC')) - 1"
    ),
}


def bucket_of_rows(granularity: AnyGranularity, plan: Plan) -> Column:
    """Return the column `bucket`; it binds `bucket_parameters` of the same granularity and range."""
    if isinstance(granularity, Granularity):
        return Column("bucket", _EQUAL_OF_EVENTS, _EQUAL_OF_ROLLUP.substitute(seconds=seconds(plan)))
    return Column("bucket", _index(granularity, plan, _SECONDS_OF_EVENTS), _index(granularity, plan, seconds(plan)))


def bucket_parameters(granularity: AnyGranularity, start_s: int, end_s: int) -> dict[str, object]:
    """Return the values that `bucket_of_rows` binds."""
    if isinstance(granularity, Granularity):
        return {
            "bucket_s": granularity.seconds,
            "bucket_us": granularity.seconds * 1_000_000,
            "origin_s": granularity.origin_s,
            "origin_us": granularity.origin_s * 1_000_000,
        }
    offsets = granularity.offsets(start_s, end_s)
    shift = {"shift_s": granularity.shift_s}
    if len(offsets.seconds) == 1:
        return {**shift, "zone_offset": offsets.seconds[0]}
    return {**shift, "zone_changes": list(offsets.changes), "zone_offsets": list(offsets.seconds)}


def time_of_bucket(granularity: AnyGranularity) -> Callable[[int], int]:
    """Return the function from the column `bucket` to the first second of the bucket."""
    if isinstance(granularity, Granularity):
        return int
    return lru_cache(maxsize=None)(granularity.starts_at)


def grain_of(granularity: AnyGranularity | None, start_s: int, end_s: int) -> Granularity | None:
    """Return the equal buckets that the planner looks at: those that every bucket in the range is made of."""
    return granularity.grain(start_s, end_s) if isinstance(granularity, Calendar) else granularity


def local_seconds(calendar: Calendar, plan: Plan, seconds_of_row: str) -> str:
    """Return the expression of the local time of a row's `seconds_of_row`; it binds `bucket_parameters`."""
    shifted = _SHIFTED.substitute(seconds=seconds_of_row)
    has_one_offset = len(calendar.offsets(plan.start, plan.end).seconds) == 1
    return (_LOCAL_OF_ONE_OFFSET if has_one_offset else _LOCAL).substitute(shifted=shifted)


def _index(calendar: Calendar, plan: Plan, seconds_of_row: str) -> str:
    return _INDEXES[calendar.unit].substitute(local=local_seconds(calendar, plan, seconds_of_row))
