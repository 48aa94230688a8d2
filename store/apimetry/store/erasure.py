"""Removes stored events for good, or has them kept for other days, and makes the rollups agree with what is left.

1. The events are deleted by a mutation, or given their new retention, which deletes those that have outlived it. When
   it is done, no part that is read has deleted rows, not even hidden ones; the engine removes the parts that had them
   from the disk some minutes later (`old_parts_lifetime`: 8).
2. Hours are found in which a rollup counts other than the events do. Nothing is remembered for it, so that a
   deletion that was killed at any point, and begun again, ends like one that was not.
3. Those hours are made again, week by week: inserts pause (`pausing`; the spool keeps what comes), the
   rollups' rows of the hours are deleted, and filled from the events that are left. That is exact, for every measure
   and dimension, whatever is inserted before and after.
4. Until there are no such hours.

Counters of what an application ever sent (`counters`) stay. Events that wait in a spool arrive afterwards and are
stored: they were not there to be deleted.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from apimetry.store.errors import StoreUnavailable
from apimetry.store.jobs import Job, JobKind
from apimetry.store.layout import Layout
from apimetry.store.mutations import Wait, mutate, unfinished_mutations
from apimetry.store.pausing import inserts_paused, pause_inserts, resume_inserts
from apimetry.store.rollup_filling import fill_statements
from apimetry.store.rollups import HOUR_S, LAST_HOUR_S, ROLLUPS

if TYPE_CHECKING:
    from apimetry.store.client import Store

TABLES: Final = tuple(sorted({rollup.table for rollup in ROLLUPS}))
_MOST_ROUNDS: Final = 10
_WAIT_S: Final = 0.1
_MONDAY_S: Final = -3 * 86400
_DAY_S: Final = 86400
_WEEK_S: Final = 7 * _DAY_S

_CONDITIONS: Final = {
    JobKind.delete_range: (
        "application = {application:String} AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')"
        " AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')"
    ),
    JobKind.delete_consumer: "application = {application:String} AND consumer_id = {consumer:String}",
    JobKind.delete_application: "application = {application:String}",
}
_RETENTION: Final = "application = {application:String} AND retention_days != {days:UInt16}"
_OF_HOURS: Final = (
    "application = {application:String} AND time >= toDateTime({first:UInt32}, 'UTC')"
    " AND time <= toDateTime({last:UInt32}, 'UTC') AND toUnixTimestamp(time) IN {hours:Array(UInt32)}"
)
_EVENTS_OF_HOURS: Final = (
    "application = {application:String} AND timestamp >= toDateTime64({first:UInt32}, 6, 'UTC')"
    " AND timestamp < toDateTime64({last:UInt32} + 3600, 6, 'UTC')"
    " AND toUnixTimestamp(toStartOfHour(toDateTime(timestamp, 'UTC'))) IN {hours:Array(UInt32)}"
)
_COUNTED_EVENTS: Final = """SELECT toStartOfHour(toDateTime(timestamp, 'UTC')) AS time, 0 AS part,
  sum(sample_weight) AS counted, max(retention_days) AS kept
FROM events
WHERE application = {application:String} AND timestamp >= toDateTime64({start:UInt32}, 6, 'UTC')
  AND timestamp < toDateTime64({end:UInt32}, 6, 'UTC')
GROUP BY time"""
_COUNTED_ROWS: Final = """SELECT time, {part} AS part, sum(requests) AS counted, max(retention_days) AS kept
FROM {table}
WHERE application = {{application:String}} AND time >= toDateTime({{start:UInt32}}, 'UTC')
  AND time < toDateTime({{end:UInt32}}, 'UTC'){condition}
GROUP BY time"""
# An hour that has outlived its retention may lack rows that were merged away already: filling it would not last.
_DIFFERENT: Final = """SELECT toUnixTimestamp(time) AS hour
FROM ({counted})
GROUP BY time
HAVING arrayUniq([{sums}]) > 1
  AND NOT (greatest({sums}) = sumIf(counted, part = 0) AND time + 3600 + toIntervalDay(max(kept)) < now())
ORDER BY hour"""
# Not by a token: the same hour may be filled with the same rows twice, and was emptied in between.
_FILL_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 0,
    "materialized_views_ignore_errors": 0,
    "max_insert_threads": 1,
    "distributed_foreground_insert": 1,
}


def carry_out(store: Store, job: Job, wait: Wait) -> None:
    """Do `job`, from the start or from wherever it was broken off; blocks until it is done.

    Raises what `wait` raises, and StoreUnavailable: then it is to be begun again later.
    """
    if job.kind is JobKind.change_retention:
        _change_retention(store, job, wait)
    else:
        _delete(store, job, wait)
    repair_rollups(store, job.application_id, _hours(job), wait)
    # Whoever was killed while they paused left them so. No migration pauses them any more where there are jobs.
    if inserts_paused(store, _layout(store)):
        resume_inserts(store, _layout(store))


def repair_rollups(store: Store, application: str, hours: tuple[int, int], wait: Wait) -> None:
    """Make the rollups of `[start, end)`, seconds that begin hours, agree with the application's events.

    Raises StoreUnavailable when they still do not, after ten times.
    """
    _finish_mutations(store, wait)
    for _ in range(_MOST_ROUNDS):
        different = _different_hours(store, application, hours)
        if not different:
            return
        for week in sorted({_monday(hour) for hour in different}):
            _rebuild(store, application, (max(week, hours[0]), min(week + _WEEK_S, hours[1])), wait)
    raise StoreUnavailable(f"rollups of {len(different)} hours still differ from their events")


def _rebuild(store: Store, application: str, hours: tuple[int, int], wait: Wait) -> None:
    """Make the differing hours of one week again, while nothing is inserted."""
    layout = _layout(store)
    wait(0)
    try:
        pause_inserts(store, layout)
        different = _different_hours(store, application, hours)
        if not different:
            return
        mutate(store, dict.fromkeys(TABLES, f"DELETE WHERE {_OF_HOURS}"), _bound(application, different), wait)
        for _, of_day in groupby(different, lambda hour: hour // _DAY_S):
            # A service that starts, and migrates, resumes them: what is counted twice then, the next round finds.
            if not inserts_paused(store, layout):
                return
            bound = _bound(application, list(of_day))
            with store.inserts_held():
                for statement in fill_statements(store.database, _EVENTS_OF_HOURS).values():
                    store.command(statement, bound, settings=_FILL_SETTINGS)
    finally:
        resume_inserts(store, layout)


def _delete(store: Store, job: Job, wait: Wait) -> None:
    """Delete the job's events; of a whole application, everything but what it was ever sent."""
    parameters = {
        "application": job.application_id,
        "start_us": job.start_us,
        "end_us": job.end_us,
        "consumer": job.consumer_id,
    }
    delete = f"DELETE WHERE {_CONDITIONS[job.kind]}"
    mutate(store, {"events": delete}, parameters, wait)
    if job.kind is JobKind.delete_application:
        mutate(store, dict.fromkeys((*TABLES, "sender_reports"), delete), parameters, wait)


def _change_retention(store: Store, job: Job, wait: Wait) -> None:
    """Give every stored row the new retention; what has outlived it goes with the same mutation.

    Of an hour that is partly outlived the events go, but the rollups' rows stay: such hours differ now.
    """
    change = f"UPDATE retention_days = {{days:UInt16}} WHERE {_RETENTION}"
    parameters = {"application": job.application_id, "days": job.retention_days}
    mutate(store, dict.fromkeys(("events", *TABLES), change), parameters, wait)


def _hours(job: Job) -> tuple[int, int]:
    """Return the whole hours that the job's events are of: where it starts and ends, in seconds."""
    if job.kind is not JobKind.delete_range:
        return 0, LAST_HOUR_S
    end = -(-job.end_us // 1_000_000 // HOUR_S) * HOUR_S
    return job.start_us // 1_000_000 // HOUR_S * HOUR_S, min(end, LAST_HOUR_S)


def _different_hours(store: Store, application: str, hours: tuple[int, int]) -> list[int]:
    parts = [_COUNTED_EVENTS]
    counted = {rollup.table: rollup for rollup in reversed(ROLLUPS)}
    for part, rollup in enumerate(counted.values(), 1):
        condition = f" AND {rollup.condition}" if rollup.condition else ""
        parts.append(_COUNTED_ROWS.format(part=part, table=rollup.table, condition=condition))
    sums = ", ".join(f"sumIf(counted, part = {part})" for part in range(len(parts)))
    sql = _DIFFERENT.format(counted="\nUNION ALL\n".join(parts), sums=sums)
    return [hour for (hour,) in store.query(sql, {"application": application, "start": hours[0], "end": hours[1]})]


def _finish_mutations(store: Store, wait: Wait) -> None:
    """Wait for what an attempt that was broken off had begun."""
    stored = {_layout(store).stored(table) for table in TABLES}
    while any(each.table in stored for each in unfinished_mutations(store)):
        wait(_WAIT_S)


def _bound(application: str, hours: list[int]) -> dict[str, object]:
    return {"application": application, "hours": hours, "first": hours[0], "last": hours[-1]}


def _monday(hour: int) -> int:
    return (hour - _MONDAY_S) // _WEEK_S * _WEEK_S + _MONDAY_S


def _layout(store: Store) -> Layout:
    return Layout(database=store.database, cluster=store.cluster)
