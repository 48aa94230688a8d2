"""Allow an unknown response time: a null in the event, which no latency figure includes.

The rollups of `m0003_rollups` leave nulls out already, except `hourly_consumers`, which counts every request as timed.
This migration adds a count of untimed requests to `hourly_consumers`. A second view adds rows for events without a
time only, so other events cost nothing more. The first view stays unchanged. After a change of its query, a view knows
its former tokens only after a restart of the engine (measured), and until then a retried insert would count twice.

The events' column is changed last: a null can be stored only after every rollup counts nulls correctly. The engine
rewrites this one column of the stored parts. Until then it converts the values when it reads them.
"""

from __future__ import annotations

from typing import Final

from apimetry.store.layout import Layout

_CONSUMERS: Final = "hourly_consumers"
_UNTIMED: Final = "response_us_untimed"
_TYPE: Final = "SimpleAggregateFunction(sum, UInt64)"
# A row without requests has a negative weight. It wraps around, and sums of UInt64 are modulo 2^64.
_WEIGHT: Final = f"response_us_weight UInt64 ALIAS toUInt64(requests - {_UNTIMED})"
_VIEW: Final = f"""SELECT application, consumer_id, toStartOfHour(toDateTime(timestamp, 'UTC')) AS time,
  max(retention_days) AS retention_days,
  sum(sample_weight) AS {_UNTIMED},
  toUInt64(18446744073709551615) AS response_us_min
FROM {{source}}
WHERE isNull(response_us)
GROUP BY application, consumer_id, time"""  # noqa: S608 - our own columns


def statements(layout: Layout) -> list[str]:
    """Return the statements that count the consumers' untimed requests, and allow null response times."""
    return [
        *layout.alter(_CONSUMERS, f"ADD COLUMN IF NOT EXISTS {_UNTIMED} {_TYPE} AFTER errors"),
        *layout.alter(_CONSUMERS, f"ADD COLUMN IF NOT EXISTS {_WEIGHT} AFTER {_UNTIMED}"),
        *layout.view("hourly_consumers_untimed_view", source="events", target=_CONSUMERS, select=_VIEW),
        *layout.alter("events", "MODIFY COLUMN response_us Nullable(UInt64) CODEC(T64, ZSTD(1))"),
    ]
