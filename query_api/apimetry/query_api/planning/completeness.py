"""Which share of what senders captured is stored, from the counts that they report about themselves.

Each process of a host application that uses the middleware (an *instance*) reports, with every batch, how many events
it captured, delivered and dropped since it started. Times here are when the collector received a report, in whole
minutes, so a time range becomes wider, to whole minutes. For the instances that reported within the range:

- *captured*: the events whose fate was decided in it: sent, or dropped by the sender, or left behind by an instance
  that has not reported for `SILENT_AFTER_S`;
- *stored*: those of them that the store holds, counted by the collector as it stored them;
- *lost*: the others, by reason. `unaccounted` were acknowledged to the sender and are not stored: they wait in a
  spool, or are in quarantine. `sender_gone` were in the buffer of an instance at its last report, more than
  `SILENT_AFTER_S` ago: its host was killed, or cannot reach any collector;
- *pending*: in the buffers of living instances at their last report; neither captured nor lost yet.

captured = stored + all lost. Two kinds of events are not in it: those of senders that report no counts (JSON), and
those that a killed process captured after its last report. The counts ignore the weights of events, and the filters.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Annotated, Final, TypedDict

from msgspec import Meta

from apimetry.serving.answer_types import Count
from apimetry.store.statement import Ask, Statement

MINUTE_S: Final = 60
# A living sender with events in its buffer reports sooner than that: its longest backoff is 30 s.
SILENT_AFTER_S: Final = 300

PERIOD: Final = """
    toDateTime({start:UInt32}, 'UTC') AS from_minute,
    toDateTime({end:UInt32}, 'UTC') AS to_minute,
    if({now:UInt32} = 0, now('UTC'), toDateTime({now:UInt32}, 'UTC')) - {silent_after_s:UInt32} AS silent_before"""
"""The names of times for a WITH; they bind `period_parameters`."""

# The reports of the instances that reported in the range, also those before and after it.
REPORTS: Final = """
    FROM sender_reports AS reports
    WHERE application = {application:String} AND instance IN (
        SELECT instance FROM sender_reports
        WHERE application = {application:String} AND minute >= from_minute AND minute < to_minute
    )"""

# One row for each instance that reported in the range. `from` is its last report before the range. Without one, the
# counts begin at the first report: what the instance sent earlier went to a store without reports.
INSTANCES: Final = f"""
    SELECT
        instance,
        max(reports.source) AS source,
        max(reports.version) AS version,
        min(minute) AS first,
        sumIf(reports.stored, minute >= from_minute AND minute < to_minute) AS stored,
        maxIf(sent, minute < to_minute) AS sent_to,
        if(
            countIf(minute < from_minute) > 0,
            maxIf(sent, minute < from_minute),
            minIf(sent_before, minute < to_minute)
        ) AS sent_from,
        maxMapIf(dropped, minute < to_minute) AS dropped_to,
        maxMapIf(dropped, minute < from_minute) AS dropped_from,
        max(minute) AS last,
        if(
            last < to_minute,
            greatest(0, toInt64(max(captured)) - toInt64(sent_to) - toInt64(arraySum(mapValues(dropped_to)))),
            0
        ) AS waiting,
        greatest(
            0, toInt64(max(captured)) - toInt64(max(sent)) - toInt64(arraySum(mapValues(maxMap(dropped))))
        ) AS buffered{REPORTS}
    GROUP BY instance"""
_SQL: Final = Template("""
WITH$period
SELECT
    count(),
    sum(stored),
    sum(greatest(sent_to - sent_from, stored)),
    sumMap(mapSubtract(dropped_to, dropped_from)),
    sumIf(waiting, last < silent_before),
    sumIf(waiting, last >= silent_before)
FROM ($instances
)
""").substitute(period=PERIOD, instances=INSTANCES)


class Completeness(TypedDict):
    """Of the events whose fate was decided in the range, widened to whole minutes, the share that is stored.

    The counts are those that senders with the middleware report, whatever the filters and the weights. Reasons are
    the senders' own (`buffer_full`, `invalid`, `shutdown`), `rejected` by the collector, `unaccounted` (acknowledged
    and not stored: in a spool or a quarantine) and `sender_gone` (in the buffer of a process when it was last heard,
    over five minutes ago). Senders of JSON report nothing and are outside, as is what a killed process captured after
    its last report.
    """

    captured: Annotated[Count, Meta(description="Stored and lost together.")]
    stored: Annotated[Count, Meta(description="Those that the store holds.")]
    pending: Annotated[Count, Meta(description="In living senders' buffers when they last reported.")]
    lost: Annotated[dict[str, Count], Meta(description="By reason.")]
    share: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Stored divided by captured, six decimals, rounded down; null: none."),
    ]
    senders: Annotated[Count, Meta(description="Processes that reported in the range.")]


def completeness(application: str, start: int, end: int, *, ask: Ask, now: int = 0) -> Completeness:
    """Return the counts and their share for `[start, end)`, widened to whole minutes. Blocks while `ask` does.

    `now` is seconds since the epoch, 0 for the store's own clock.
    `share` is stored divided by captured, six decimals, never rounded up to 1; None where nothing was captured.
    """
    parameters = period_parameters(application, start, end, now)
    ((senders, stored, delivered, dropped, lost_with_senders, pending),) = ask(
        Statement(_SQL, parameters, is_live=True)
    )
    lost = losses(dropped, delivered - stored, lost_with_senders)
    captured = stored + sum(lost.values())
    return {
        "captured": captured,
        "stored": stored,
        "pending": pending,
        "lost": lost,
        "share": share_of(stored, captured),
        "senders": senders,
    }


def period_parameters(application: str, start: int, end: int, now: int) -> dict[str, object]:
    """Return the values that PERIOD and REPORTS bind: `[start, end)`, widened to whole minutes."""
    return {
        "application": application,
        "start": min(start // MINUTE_S * MINUTE_S, _LATEST),
        "end": min(-(-end // MINUTE_S) * MINUTE_S, _LATEST),
        "now": now,
        "silent_after_s": SILENT_AFTER_S,
    }


# The last second of a DateTime.
_LATEST: Final = 2**32 - 1


def losses(dropped: Mapping[str, int], unaccounted: int, lost_with_senders: int) -> dict[str, int]:
    """Return the lost events by reason, without the reasons that took none."""
    lost = {reason: count for reason, count in sorted(dropped.items()) if count > 0}
    further = {"unaccounted": unaccounted, "sender_gone": lost_with_senders}
    return lost | {name: count for name, count in further.items() if count > 0}


def share_of(stored: int, captured: int) -> float | None:
    """Return the share with six decimals, rounded down: one lost event among billions is never called complete."""
    return stored * 1_000_000 // captured / 1_000_000 if captured else None
