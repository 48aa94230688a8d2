"""A response time may be unknown: null in its event, and in no latency figure.

The rollups of `m0003_rollups` leave nulls out already, but for `hourly_consumers`, which took every request for a
timed one. It gets a count of the untimed ones, and a view that adds them as rows of their own: of events without a
time, so that others cost nothing. The view that was there stays as it is. A view whose query was changed knows its
former tokens only after the engine was started again (measured), and a retried insert would count twice.

The events' column is changed last, so that no null can come before every rollup counts it. The engine rewrites that
one column of the stored parts; until it has, it converts what it reads.
"""

from __future__ import annotations

from typing import Final

from apimetry.store.layout import Layout

_CONSUMERS: Final = "hourly_consumers"
_UNTIMED: Final = "response_us_untimed"
_TYPE: Final = "SimpleAggregateFunction(sum, UInt64)"
# Of a row without requests it is less than none; sums of UInt64 are modulo 2^64.
_WEIGHT: Final = f"response_us_weight UInt64 ALIAS toUInt64(requests - {_UNTIMED})"
_VIEW: Final = f"""SELECT application, consumer_id, toStartOfHour(toDateTime(timestamp, 'UTC')) AS time,
  max(retention_days) AS retention_days,
  sum(sample_weight) AS {_UNTIMED},
  toUInt64(18446744073709551615) AS response_us_min
FROM {{source}}
WHERE isNull(response_us)
GROUP BY application, consumer_id, time"""  # noqa: S608 - our own columns


def statements(layout: Layout) -> list[str]:
    """The consumers' untimed requests, and a column of response times that takes nulls."""
    return [
        *layout.alter(_CONSUMERS, f"ADD COLUMN IF NOT EXISTS {_UNTIMED} {_TYPE} AFTER errors"),
        *layout.alter(_CONSUMERS, f"ADD COLUMN IF NOT EXISTS {_WEIGHT} AFTER {_UNTIMED}"),
        *layout.view("hourly_consumers_untimed_view", source="events", target=_CONSUMERS, select=_VIEW),
        *layout.alter("events", "MODIFY COLUMN response_us Nullable(UInt64) CODEC(T64, ZSTD(1))"),
    ]
