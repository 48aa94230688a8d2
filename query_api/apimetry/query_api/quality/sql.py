"""Senders' reports by sender and over time, as SQL. Pure; `planning.completeness` has the arithmetic.

Counts of an instance only grow. So what happened in a bucket of time is the highest count up to its end, less the
highest count before it; an instance that reports nothing before the range begins with its first report.
"""

from __future__ import annotations

from string import Template

from apimetry.query_api.planning.completeness import INSTANCES, PERIOD, REPORTS, period_parameters
from apimetry.query_api.planning.stored import condition_of, hourly
from apimetry.query_api.quality.params import QualityQuery
from apimetry.store.statement import Statement

MAX_SENDERS = 500

_SENDERS = Template("""
WITH$period
SELECT
    instance, source, version, toInt64(toUnixTimestamp(first)), toInt64(toUnixTimestamp(last)),
    stored, delivered, dropped, waiting, last < silent_before AS is_silent, buffered,
    count() OVER (), sum(stored) OVER (), sum(delivered) OVER (), sumMap(dropped) OVER (),
    sumIf(waiting, is_silent) OVER (), sumIf(waiting, NOT is_silent) OVER (),
    countIf(is_silent AND buffered > 0) OVER ()
FROM (
    SELECT
        *, greatest(sent_to - sent_from, stored) AS delivered, mapSubtract(dropped_to, dropped_from) AS dropped
    FROM ($instances)
)
ORDER BY delivered - stored + arraySum(mapValues(dropped)) + if(is_silent, waiting, 0) DESC, delivered DESC, instance
LIMIT {max_senders:UInt32}
""")
_SERIES = Template("""
WITH$period
SELECT
    bucket,
    sum(stored),
    sum(greatest(toInt64(sent_to - sent_from), toInt64(stored))),
    sumMap(mapSubtract(dropped_to, dropped_from)),
    sumIf(buffered, last = last_of_instance AND last < silent_before)
FROM (
    SELECT
        bucket, stored, last,
        max(last) OVER of_instance AS last_of_instance,
        if(min(bucket) OVER of_instance < 0, 0, min(sent_before) OVER of_instance) AS sent_at_first,
        greatest(max(sent) OVER up_to_now, sent_at_first) AS sent_to,
        greatest(max(sent) OVER before, sent_at_first) AS sent_from,
        maxMap(dropped) OVER up_to_now AS dropped_to,
        maxMap(dropped) OVER before AS dropped_from,
        greatest(
            0, toInt64(max(captured) OVER of_instance) - toInt64(max(sent) OVER of_instance)
                - toInt64(arraySum(mapValues(dropped_to)))
        ) AS buffered
    FROM (
        SELECT
            instance,
            multiIf(
                minute < from_minute, -1,
                minute >= to_minute, {buckets:Int64},
                intDiv(toInt64(toUnixTimestamp(minute)) - {origin:Int64}, {bucket_s:Int64})
            ) AS bucket,
            sum(reports.stored) AS stored, max(reports.sent) AS sent, min(reports.sent_before) AS sent_before,
            maxMap(reports.dropped) AS dropped, max(reports.captured) AS captured, max(minute) AS last$reports
        GROUP BY instance, bucket
    )
    WINDOW
        of_instance AS (PARTITION BY instance),
        up_to_now AS (PARTITION BY instance ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        before AS (PARTITION BY instance ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
WHERE bucket >= 0 AND bucket < {buckets:Int64}
GROUP BY bucket
ORDER BY bucket
""")
# The rollup says in which hour it is, so that other partitions are not read.
_NEWEST = Template("""SELECT toUnixTimestamp64Micro(timestamp) FROM events
WHERE application = {application:String} AND timestamp >= (
    SELECT max(time) FROM $hours WHERE application = {application:String}$condition
  )
ORDER BY timestamp DESC
LIMIT 1""")
# Rows and not weights: a sender counts an event once, whatever its weight.
_STORED = """SELECT count() FROM events
WHERE application = {application:String}
  AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')"""


def senders(query: QualityQuery, application: str, now: int) -> Statement:
    """Return what answers a row for each of MAX_SENDERS instances, those with the most losses first.

    A row is the instance, its source and version, its first and last report; in the range: stored, delivered, dropped
    by reason, waiting; whether it is silent now, and what was in its buffer at its last report; and of all instances:
    their number, stored, delivered, dropped, left behind by silent ones, waiting, and the number of silent ones with
    something in the buffer.
    """
    parameters = {**period_parameters(application, query.start, query.end, now), "max_senders": MAX_SENDERS}
    return Statement(_SENDERS.substitute(period=PERIOD, instances=INSTANCES), parameters)


def series(query: QualityQuery, application: str, now: int) -> Statement:
    """Return what answers rows of (bucket, stored, delivered, dropped by reason, left behind by silent instances)."""
    parameters = {
        **period_parameters(application, query.start, query.end, now),
        "origin": query.origin,
        "bucket_s": query.bucket_s,
        "buckets": query.buckets,
    }
    return Statement(_SERIES.substitute(period=PERIOD, reports=REPORTS), parameters)


def stored(query: QualityQuery, application: str) -> Statement:
    """Return what answers one row: the number of stored events in the range."""
    times = {"start_us": query.start * 1_000_000, "end_us": query.end * 1_000_000}
    return Statement(_STORED, {"application": application, **times})


def newest(application: str) -> Statement:
    """Return what answers the time of the newest stored event in µs; no row without events."""
    source = hourly()
    sql = _NEWEST.substitute(hours=source.table, condition=condition_of(source))
    return Statement(sql, {"application": application})
