"""Delete stored events permanently, or change their retention, and make the rollups agree with the stored events.

1. A mutation deletes the events, or writes their new retention; the same mutation deletes expired events. After the
   mutation no active part holds deleted rows, not even hidden rows. The engine removes the old parts from the disk
   some minutes later (`old_parts_lifetime`: 8).
2. Queries compare the rollups with the events, hour by hour and day by day, and return the days that differ. A job
   stores no state for this step. So a deletion that was killed at any point and started again has the same result as
   an uninterrupted one.
3. The differing days are rebuilt, week by week. Inserts pause (`pausing`; the spool keeps new events). The rollups'
   rows of the days are deleted, and filled again from the stored events. The result is exact for every measure and
   dimension, whatever is inserted before and after.
4. Steps 2 and 3 repeat until no day differs, or inserts stayed paused while the differing days were rebuilt.

After the first step and after the last, the log of changes (`changes`) says that the application's events changed.

The counters of all events that an application ever sent (`counters`) stay. Events that wait in a spool are stored
afterwards: they were not in the store when the deletion ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from apimetry.store.changes import mark_changed
from apimetry.store.errors import StoreUnavailable
from apimetry.store.jobs import Job, JobKind
from apimetry.store.layout import Layout
from apimetry.store.mutations import Wait, mutate, unfinished_mutations
from apimetry.store.pausing import inserts_paused, pause_inserts, resume_inserts
from apimetry.store.rollup_filling import fill_statements
from apimetry.store.rollups import DAY_S, LAST_HOUR_S, LATEST_S, MINUTES_SINCE_SQL, ROLLUPS, SINCE_SQL, TABLES, Rollup

if TYPE_CHECKING:
    from apimetry.store.client import Store

_MOST_ROUNDS: Final = 10
_WAIT_S: Final = 0.1
_MONDAY_S: Final = -3 * DAY_S
_WEEK_S: Final = 7 * DAY_S

_CONDITIONS: Final = {
    JobKind.delete_range: (
        "application = {application:String} AND timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')"
        " AND timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')"
    ),
    JobKind.delete_consumer: "application = {application:String} AND consumer_id = {consumer:String}",
    JobKind.delete_application: "application = {application:String}",
}
_RETENTION: Final = "application = {application:String} AND retention_days != {days:UInt16}"
_OF_DAYS: Final = (
    "application = {application:String} AND time >= toDateTime({first:UInt32}, 'UTC')"
    " AND toUnixTimestamp(toStartOfDay(time)) IN {days:Array(UInt32)}"
)
_EVENTS_OF_DAY: Final = (
    "application = {application:String} AND timestamp >= toDateTime64({start:UInt32}, 6, 'UTC')"
    " AND timestamp < toDateTime64({end:UInt32}, 6, 'UTC')"
)
_COUNTED_EVENTS: Final = """SELECT {start_of}(toDateTime(timestamp, 'UTC')) AS time, 0 AS part,
  sum(sample_weight) AS counted, max(retention_days) AS kept
FROM events
WHERE application = {{application:String}} AND timestamp >= toDateTime64({{start:UInt32}}, 6, 'UTC')
  AND timestamp < toDateTime64({{end:UInt32}}, 6, 'UTC')
GROUP BY time"""
_COUNTED_ROWS: Final = """SELECT time, {part} AS part, sum(requests) AS counted, max(retention_days) AS kept
FROM {table}
WHERE application = {{application:String}} AND time >= toDateTime({{start:UInt32}}, 'UTC')
  AND time < toDateTime({{end:UInt32}}, 'UTC'){condition}
GROUP BY time"""
# In an expired day the engine may have removed rows already, and it would remove filled rows again.
_DIFFERENT: Final = """SELECT DISTINCT toUnixTimestamp(toStartOfDay(time)) AS day
FROM (
  SELECT time
  FROM ({counted})
  GROUP BY time
  HAVING arrayUniq([{sums}]) > 1
    AND NOT (greatest({sums}) = sumIf(counted, part = 0)
      AND toStartOfDay(time) + toIntervalDay(max(kept) + 1) < now())
)"""
_BY_HOUR: Final = {rollup.table: rollup for rollup in reversed(ROLLUPS)}
_BY_DAY: Final = {rollup.days: rollup for rollup in reversed(ROLLUPS) if rollup.days}
_BY_MINUTE: Final = {rollup.minutes: rollup for rollup in reversed(ROLLUPS) if rollup.minutes}
# The view leaves out what is older.
_FIRST_MINUTE: Final = "SELECT toUnixTimestamp(toStartOfDay(now('UTC')) - toIntervalDay(3))"
# No deduplication: a day may be filled with the same rows twice, and be emptied between the two fills.
_FILL_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 0,
    "materialized_views_ignore_errors": 0,
    "max_insert_threads": 1,
    "distributed_foreground_insert": 1,
}


def carry_out(store: Store, job: Job, wait: Wait) -> None:
    """Run `job`, also after an interruption, and block until it is done.

    Raises the errors of `wait`, and StoreUnavailable. After an error the caller runs the job again later.
    """
    if job.kind is JobKind.change_retention:
        _change_retention(store, job, wait)
    else:
        _delete(store, job, wait)
    mark_changed(store, job.application_id)
    repair_rollups(store, job.application_id, _times(job), wait)
    mark_changed(store, job.application_id)
    # A process that was killed during a pause has left inserts paused. Only jobs pause inserts.
    if inserts_paused(store, _layout(store)):
        resume_inserts(store, _layout(store))


def repair_rollups(store: Store, application: str, times: tuple[int, int], wait: Wait) -> None:
    """Make the rollups of all days that overlap `times` agree with the application's events.

    `times` is `[start, end)` in seconds since the epoch. Raises StoreUnavailable when the rollups still differ after
    ten rounds.
    """
    days = times[0] // DAY_S * DAY_S, min(-(-times[1] // DAY_S) * DAY_S, LAST_HOUR_S)
    _finish_mutations(store, wait)
    for _ in range(_MOST_ROUNDS):
        different = _different_days(store, application, days)
        if not different:
            return
        weeks = sorted({_monday(day) for day in different})
        # An insert that has not reached every table yet looks like a difference. A pause shows the truth.
        were_paused = [
            _rebuild(store, application, (max(week, days[0]), min(week + _WEEK_S, days[1])), wait) for week in weeks
        ]
        if all(were_paused):
            return
    raise StoreUnavailable(f"rollups of {len(different)} days still differ from their events")


def _rebuild(store: Store, application: str, week: tuple[int, int], wait: Wait) -> bool:
    """Rebuild the differing days of one week, while inserts are paused; return whether they stayed paused."""
    layout = _layout(store)
    wait(0)
    try:
        pause_inserts(store, layout)
        different = _different_days(store, application, week)
        if not different:
            return inserts_paused(store, layout)
        days = {"application": application, "days": different, "first": different[0]}
        mutate(store, dict.fromkeys(TABLES, f"DELETE WHERE {_OF_DAYS}"), days, wait)
        for day in different:
            # A service that starts and migrates resumes inserts. Events may then count twice until the next round.
            if not inserts_paused(store, layout):
                return False
            parameters = {"application": application, "start": day, "end": min(day + DAY_S, LAST_HOUR_S)}
            with store.inserts.held():
                for statement in fill_statements(store.database, _EVENTS_OF_DAY).values():
                    store.command(statement, parameters, settings=_FILL_SETTINGS)
        return inserts_paused(store, layout)
    finally:
        resume_inserts(store, layout)


def _delete(store: Store, job: Job, wait: Wait) -> None:
    """Delete the job's events; for a whole application, also its other rows except those of `counters`."""
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
    """Write the new retention to every stored row; the same mutation deletes expired rows.

    In an hour that is partly expired the events are deleted and the rollups' rows stay. Such an hour differs now.
    """
    change = f"UPDATE retention_days = {{days:UInt16}} WHERE {_RETENTION}"
    parameters = {"application": job.application_id, "days": job.retention_days}
    mutate(store, dict.fromkeys(("events", *TABLES), change), parameters, wait)


def _times(job: Job) -> tuple[int, int]:
    """Return the time range that holds the job's events, as `[start, end)` in seconds since the epoch."""
    if job.kind is not JobKind.delete_range:
        return 0, LAST_HOUR_S
    return job.start_us // 1_000_000, -(-job.end_us // 1_000_000)


def _different_days(store: Store, application: str, days: tuple[int, int]) -> list[int]:
    """Return the first seconds of the days that differ, ascending; `days` is `[start, end)`."""
    ((since,),) = store.query(SINCE_SQL)
    start, end = days
    different = _different(store, application, "toStartOfHour", _BY_HOUR, days)
    if since is not None and since < end:
        different |= _different(store, application, "toStartOfDay", _BY_DAY, (max(start, since), end))
    ((minutes_since,),) = store.query(MINUTES_SINCE_SQL)
    ((first_minute,),) = store.query(_FIRST_MINUTE)
    first_minute = max(start, first_minute, LATEST_S if minutes_since is None else minutes_since)
    if first_minute < end:
        different |= _different(store, application, "toStartOfMinute", _BY_MINUTE, (first_minute, end))
    return sorted(different)


def _different(
    store: Store, application: str, start_of: str, rollup_by_table: Mapping[str, Rollup], times: tuple[int, int]
) -> set[int]:
    """Return the days in which the tables differ from the events, in some unit of time that `start_of` returns."""
    parts = [_COUNTED_EVENTS.format(start_of=start_of)]
    for part, (table, rollup) in enumerate(rollup_by_table.items(), 1):
        condition = f" AND {rollup.condition}" if rollup.condition else ""
        parts.append(_COUNTED_ROWS.format(part=part, table=table, condition=condition))
    sums = ", ".join(f"sumIf(counted, part = {part})" for part in range(len(parts)))
    sql = _DIFFERENT.format(counted="\nUNION ALL\n".join(parts), sums=sums)
    return {day for (day,) in store.query(sql, {"application": application, "start": times[0], "end": times[1]})}


def _finish_mutations(store: Store, wait: Wait) -> None:
    """Wait for the mutations of an interrupted attempt."""
    stored = {_layout(store).stored(table) for table in TABLES}
    while any(mutation.table in stored for mutation in unfinished_mutations(store)):
        wait(_WAIT_S)


def _monday(day: int) -> int:
    return (day - _MONDAY_S) // _WEEK_S * _WEEK_S + _MONDAY_S


def _layout(store: Store) -> Layout:
    return Layout(database=store.database, cluster=store.cluster)
