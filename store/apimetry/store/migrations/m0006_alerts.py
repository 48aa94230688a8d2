"""Create the tables of alert rules, their last measured values, their events, and the deliveries of the events.

`alert_events` and `turns` are written once per key: the engine stores the first insert under a deduplication token and
drops the others. So several services agree on the service that does the work.
"""

from __future__ import annotations

from apimetry.store.layout import Layout

_TIME = "DateTime64(3, 'UTC')"

_RULES = f"""
    id String,
    organization_id String,
    application_id String,
    name String,
    metric LowCardinality(String),
    percentile UInt8,
    include Array(String),
    exclude Array(String),
    window_s UInt32,
    direction LowCardinality(String),
    threshold Float64,
    minimum_requests UInt64,
    cooldown_s UInt32,
    webhook_url String,
    webhook_secret String,
    paused UInt8,
    created_at {_TIME},
    deleted UInt8,
    version UInt64
"""
_MEASUREMENTS = """
    rule_id String,
    measured_at DateTime('UTC'),
    value Nullable(Float64)
"""
_EVENTS = """
    rule_id String,
    sequence UInt64,
    id String,
    organization_id String,
    application_id String,
    kind LowCardinality(String),
    at DateTime('UTC'),
    fired_at DateTime('UTC'),
    value Float64,
    threshold Float64,
    version UInt64
"""
_DELIVERIES = """
    event_id String,
    state LowCardinality(String),
    attempts UInt32,
    at DateTime('UTC'),
    version UInt64
"""
_TURNS = """
    purpose LowCardinality(String),
    minute UInt64,
    owner String
"""


def statements(layout: Layout) -> list[str]:
    """Return the statements that create the tables of alerts."""
    return [
        *layout.shared_table("alert_rules", _RULES, order_by="id", version="version"),
        *layout.shared_table("alert_measurements", _MEASUREMENTS, order_by="rule_id", version="measured_at"),
        *layout.shared_table("alert_events", _EVENTS, order_by="(rule_id, sequence)", version="version"),
        *layout.shared_table("alert_deliveries", _DELIVERIES, order_by="event_id", version="version"),
        *layout.shared_table("turns", _TURNS, order_by="purpose", version="minute"),
    ]
