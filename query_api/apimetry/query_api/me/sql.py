"""Which texts the newest events of some applications have, as SQL. Pure."""

from __future__ import annotations

from string import Template

from apimetry.query_api.planning.stored import Hours, condition_of, hourly
from apimetry.store.statement import Statement

# The newest partition: a rollup's partitions are weeks.
_NEWEST_WEEK = """(application, toMonday(time)) IN (
    SELECT weeks.1, toMonday(toDateTime(weeks.2, 'UTC'))
    FROM (SELECT arrayJoin(arrayZip({applications:Array(String)}, {hours:Array(Int64)})) AS weeks)
  )"""
_TEXTS = Template("""SELECT application, max(has_consumers), max(has_versions), max(has_error_types)
FROM (
  SELECT application, 0 AS has_consumers, version != '' AS has_versions, error_type != '' AS has_error_types
  FROM $origins
  WHERE $newest$origins_condition
  UNION ALL
  SELECT application, consumer_id != '' AS has_consumers, 0 AS has_versions, 0 AS has_error_types
  FROM $consumers
  WHERE $newest$consumers_condition
)
GROUP BY application""")


def texts(last_hours: Hours) -> Statement:
    """Return what answers rows of (application, has consumers, has versions, has error types) in the newest week."""
    origins, consumers = hourly("version", "error_type"), hourly("consumer_id")
    sql = _TEXTS.substitute(
        newest=_NEWEST_WEEK,
        origins=origins.table,
        origins_condition=condition_of(origins),
        consumers=consumers.table,
        consumers_condition=condition_of(consumers),
    )
    last = [last for _, last in last_hours.values()]
    return Statement(sql, {"applications": list(last_hours), "hours": last})
