"""Read what all alert rules of an application did, the last first, in pages."""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.store.alerts.records import Transition
from apimetry.store.statement import Ask, Statement

# A page goes on after a row, not after a number of rows: events that come in the meantime move nothing.
_EVENTS = """SELECT id, rule_id, kind, toInt64(toUnixTimestamp(at)) AS at_s, value, threshold
FROM alert_events FINAL
WHERE application_id = {application:String}
  AND at_s >= {start:Int64} AND at_s < {end:Int64}
  AND (at_s, id) < ({before_at:Int64}, {before_id:String})
ORDER BY at_s DESC, id DESC
LIMIT {limit:UInt32}"""
# Deleted rules among them: the log outlives its rules.
_NAMES = "SELECT id, name FROM alert_rules FINAL WHERE id IN {ids:Array(String)}"
_DELIVERIES = "SELECT event_id, state FROM alert_deliveries FINAL WHERE event_id IN {ids:Array(String)}"


@dataclass(frozen=True)
class Place:
    """The place of an event in the log: its second since the epoch, and its id."""

    at: int
    event_id: str


@dataclass(frozen=True)
class Entry:
    """An event of the log with its rule's id and name. `delivery` is pending, delivered, failed or none."""

    place: Place
    rule_id: str
    name: str
    kind: Transition
    value: float
    threshold: float
    delivery: str


@dataclass(frozen=True)
class Span:
    """Times in `[start, end)` seconds since the epoch, without what is at `before` or later in the log."""

    start: int
    end: int
    before: Place | None = None


def alert_history(application: str, span: Span, limit: int, *, ask: Ask) -> list[Entry]:
    """Return the last `limit` events of a span, the last first. Blocks while `ask` does."""
    before = span.before or Place(span.end, "")
    parameters = {
        "application": application,
        "start": span.start,
        "end": span.end,
        "before_at": before.at,
        "before_id": before.event_id,
        "limit": limit,
    }
    rows = ask(Statement(_EVENTS, parameters))
    if not rows:
        return []
    names: dict[str, str] = dict(ask(Statement(_NAMES, {"ids": sorted({row[1] for row in rows})})))
    deliveries: dict[str, str] = dict(ask(Statement(_DELIVERIES, {"ids": [row[0] for row in rows]})))
    return [
        Entry(
            Place(at, event_id),
            rule_id,
            names.get(rule_id, ""),
            Transition(kind),
            value,
            threshold,
            deliveries.get(event_id, "none"),
        )
        for event_id, rule_id, kind, at, value, threshold in rows
    ]
