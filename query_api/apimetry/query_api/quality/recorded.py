"""What senders record, read from a few events at both ends of a range: which texts, how much of them, and weights.

Events say it themselves: options of senders are in no report, and JSON senders have none. Rollups name the first and
the last hour with events in the range, and of these hours the first and the newest events are read: so it costs the
same however many events there are.
"""

from __future__ import annotations

from string import Template

from apimetry.query_api.planning.stored import condition_of, hourly
from apimetry.query_api.quality.params import QualityQuery
from apimetry.query_api.quality.response import QualityRecorded
from apimetry.store.rollups import HOUR_S
from apimetry.store.statement import Ask, Statement

LOOKED_AT = 1000
"""Events that are read at each end of the range."""

TEXTS = ("route", "consumer_id", "source", "version", "error_type", "url", "user_agent", "client_ip")

_HOURS = Template("""SELECT count(), toInt64(toUnixTimestamp(min(time))), toInt64(toUnixTimestamp(max(time)))
FROM $table
WHERE application = {application:String}
  AND time >= toDateTime({first_hour:Int64}, 'UTC') AND time < toDateTime({end:Int64}, 'UTC')$condition""")
_END = Template("""SELECT $newest AS is_newest, status_code, sample_weight, $shown FROM (
    SELECT timestamp, status_code, sample_weight$read FROM events
    WHERE application = {application:String}
      AND timestamp >= toDateTime(greatest({start:Int64}, {$hour:Int64}), 'UTC')
      AND timestamp < toDateTime(least({end:Int64}, {$hour:Int64} + $hour_s), 'UTC')
    ORDER BY timestamp$direction
    LIMIT $looked_at
  )""")
# A masked value is `***`, and a truncated address ends in zeros.
_RECORDED = Template("""SELECT
  max(sample_weight), maxIf(sample_weight, status_code >= 400), countIf(is_newest),
  [$texts],
  countIf(is_newest AND position(url, '?') > 0),
  countIf(is_newest AND match(replaceAll(url, '=***', ''), '[?].*=[^&]')),
  countIf(is_newest AND client_ip != '' AND NOT endsWith(client_ip, '.0') AND NOT endsWith(client_ip, '::'))
FROM (
  $first
  UNION ALL
  $last
)""")


def recorded(query: QualityQuery, application: str, *, ask: Ask) -> QualityRecorded:
    """Return what events of the range have. Blocks while `ask` does."""
    ((hours, first, last),) = ask(_hours(query, application))
    if not hours:
        first = last = query.start
    ((weight, error_weight, events, counts, queries, values, addresses),) = ask(
        _ends(query, application, first, last)
    )
    fields = dict(zip((*TEXTS, "data"), counts, strict=True))
    return {
        "events": events,
        "fields": fields,
        "queries": "full" if values else "masked" if queries else "none",
        "clientIps": "full" if addresses else "truncated" if fields["client_ip"] else "none",
        "maxWeight": weight,
        "maxErrorWeight": error_weight,
    }


def _hours(query: QualityQuery, application: str) -> Statement:
    source = hourly()
    sql = _HOURS.substitute(table=source.table, condition=condition_of(source))
    first_hour = query.start // HOUR_S * HOUR_S
    return Statement(sql, {"application": application, "first_hour": first_hour, "end": query.end})


def _ends(query: QualityQuery, application: str, first: int, last: int) -> Statement:
    fixed = {"hour_s": HOUR_S, "looked_at": LOOKED_AT}
    names = ", ".join(TEXTS)
    # Of the first events the weights alone are looked at.
    unread = ", ".join(f"'' AS {name}" for name in (*TEXTS, "data"))
    first_end = _END.substitute(fixed, newest=0, hour="first", direction="", read="", shown=unread)
    shown = f"{names}, if(empty(data), '', 'some') AS data"
    last_end = _END.substitute(fixed, newest=1, hour="last", direction=" DESC", read=f", {names}, data", shown=shown)
    texts = ", ".join(f"countIf(is_newest AND {name} != '')" for name in (*TEXTS, "data"))
    sql = _RECORDED.substitute(texts=texts, first=first_end, last=last_end)
    times = {"start": query.start, "end": query.end, "first": first, "last": last}
    return Statement(sql, {"application": application, **times})
