"""Store alert rules, and the log of their events.

A rule is a record like the accounts, and `versions` writes its changes. The n-th event of a rule is stored once,
however many services write it (`turns` explains how). So a rule fires once for all services, even when two services
evaluate the rule at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from apimetry.store.alerts.channels import Channel
from apimetry.store.alerts.records import (
    AlertEvent,
    AlertRule,
    AlertState,
    Direction,
    Metric,
    Transition,
    checked_rule,
)
from apimetry.store.errors import PlanLimitExceeded, RecordNotFound
from apimetry.store.named_rows import named, select
from apimetry.store.turns import FIRST_WINS
from apimetry.store.versions import APPEND, Columns, Versions

if TYPE_CHECKING:
    from apimetry.store.client import Store

MAX_RULES: Final = 1000
"""The most rules of one organization: all rules are evaluated within a minute."""
MAX_FILTER_CHARACTERS: Final = 1_000_000
"""The most characters in the filters of one organization's rules together: all rules are in memory at once."""
RULES_BYTES: Final = 16_000_000
"""What an organization's rules take in memory at most."""

_RULE_COLUMNS: Final = (
    "id",
    "organization_id",
    "application_id",
    "name",
    "metric",
    "created_at",
    "webhook_secret",
    "percentile",
    "include",
    "exclude",
    "has",
    "min_response_us",
    "max_response_us",
    "window_s",
    "direction",
    "threshold",
    "minimum_requests",
    "cooldown_s",
    "webhook_url",
    "paused",
    "channel",
    "routing_key",
)
_FILTERS: Final = frozenset({"include", "exclude", "has"})
_RULES: Final = select("alert_rules", _RULE_COLUMNS)
_EVENT_COLUMNS: Final = (
    "id",
    "rule_id",
    "organization_id",
    "application_id",
    "sequence",
    "kind",
    "at",
    "fired_at",
    "value",
    "threshold",
)
_EVENTS: Final = select("alert_events", _EVENT_COLUMNS)
_OF_ORGANIZATION: Final = (
    " WHERE deleted = 0 AND ({organization:String} = '' OR organization_id = {organization:String})"
    " AND application_id IN (SELECT id FROM applications FINAL WHERE deleted = 0) ORDER BY created_at, id"
)
_LAST_EVENTS: Final = (
    f"{_EVENTS} WHERE rule_id IN {{rules:Array(String)}} ORDER BY rule_id, sequence DESC LIMIT 1 BY rule_id"
)
# Due: the delivery was never tried, or it is pending and its last attempt is old enough.
_DUE_EVENTS: Final = (
    " WHERE at >= {since:DateTime('UTC')} AND at < {before:DateTime('UTC')} AND id NOT IN (SELECT event_id"
    " FROM alert_deliveries FINAL WHERE state != 'pending' OR at >= {before:DateTime('UTC')}) ORDER BY at, id"
)
_ADD_MEASUREMENTS: Final = (
    "INSERT INTO alert_measurements (rule_id, value, measured_at) SELECT m.1, m.2, {at:DateTime('UTC')}"
    " FROM (SELECT arrayJoin(arrayZip({rules:Array(String)}, {values:Array(Nullable(Float64))})) AS m)"
)
_ADD_EVENT: Final = (
    "INSERT INTO alert_events (id, rule_id, organization_id, application_id, sequence, kind, at, fired_at, value,"
    " threshold, version) SELECT {id:String}, {rule_id:String}, {organization_id:String}, {application_id:String},"
    " {sequence:UInt64}, {kind:String}, {at:DateTime('UTC')}, {fired_at:DateTime('UTC')}, {value:Float64},"
    " {threshold:Float64}, 0"
)
_ADD_DELIVERY: Final = (
    "INSERT INTO alert_deliveries (event_id, state, attempts, at, version)"
    " SELECT {id:String}, {state:String}, {attempts:UInt32}, {at:DateTime('UTC')}, {version:UInt64}"
)


class Alerts:
    """The alert rules and events of one store: blocking, safe from several threads.

    `_lock` makes a read and the change after it one step within this process. Between processes the last change wins.
    """

    def __init__(self, store: Store) -> None:
        self._store: Final = store
        self._lock = threading.RLock()
        self._versions: Final = Versions(store)

    @property
    def store(self) -> Store:
        """Return the store that holds the records."""
        return self._store

    def rules(self, organization_id: str | None = None) -> list[AlertRule]:
        """Return the rules of one organization (None: of all), oldest first, except rules of deleted applications."""
        rows = self._store.query(_RULES + _OF_ORGANIZATION, {"organization": organization_id or ""})
        return [_rule(row) for row in rows]

    def rule(self, rule_id: str) -> AlertRule:
        """Return one rule; raises RecordNotFound."""
        rows = self._store.query(f"{_RULES} WHERE deleted = 0 AND id = {{id:String}}", {"id": rule_id})
        if not rows:
            raise RecordNotFound(f"there is no alert rule with the id {rule_id!r}")
        return _rule(rows[0])

    def create(self, rule: AlertRule) -> AlertRule:
        """Write a new rule; raises AccountInvalid, and PlanLimitExceeded above a limit of its organization."""
        with self._lock:
            rules = self.rules(rule.organization_id)
            if len(rules) >= MAX_RULES:
                raise PlanLimitExceeded(f"an organization may have {MAX_RULES} alert rules")
            _check_filters([*rules, rule])
            self._write(checked_rule(rule))
            return rule

    def update(self, rule_id: str, changes: Mapping[str, Any]) -> AlertRule:
        """Change the named fields; raises RecordNotFound, AccountInvalid and PlanLimitExceeded."""
        with self._lock:
            rule = checked_rule(replace(self.rule(rule_id), **changes))
            if _FILTERS.intersection(changes):
                _check_filters([rule, *(other for other in self.rules(rule.organization_id) if other.id != rule_id)])
            self._write(rule)
            return rule

    def delete(self, rule_id: str) -> None:
        """Delete a rule; its events stay in the log. Raises RecordNotFound."""
        with self._lock:
            self._write(self.rule(rule_id), deleted=True)

    def states(self, rule_ids: Sequence[str]) -> dict[str, AlertState]:
        """Return the states of rules, by rule id."""
        parameters = {"rules": list(rule_ids)}
        events = self._store.query(_LAST_EVENTS, parameters)
        measurements = self._store.query(
            "SELECT rule_id, value, measured_at FROM alert_measurements FINAL WHERE rule_id IN {rules:Array(String)}",
            parameters,
        )
        states = {rule_id: AlertState() for rule_id in rule_ids}
        for event in map(_event, events):
            states[event.rule_id] = AlertState(event)
        for rule_id, value, measured_at in measurements:
            states[rule_id] = replace(states[rule_id], value=value, measured_at=measured_at)
        return states

    def record_measurements(self, values: Mapping[str, float | None], at: datetime) -> None:
        """Store the values that rules measured at a minute, by rule id; None where there was nothing to measure."""
        if values:
            self._store.command(
                _ADD_MEASUREMENTS,
                {"rules": list(values), "values": list(values.values()), "at": at},
                settings=APPEND,
            )

    def record_event(self, event: AlertEvent) -> bool:
        """Write a rule's event; return False where another service's event with the same number was stored first."""
        self._store.command(
            _ADD_EVENT,
            {**event.__dict__, "kind": event.kind.value},
            settings={**FIRST_WINS, "insert_deduplication_token": f"{event.rule_id}/{event.sequence}"},
        )
        rows = self._store.query(
            "SELECT id FROM alert_events FINAL WHERE rule_id = {rule:String} AND sequence = {sequence:UInt64}",
            {"rule": event.rule_id, "sequence": event.sequence},
        )
        return rows == [(event.id,)]

    def events(self, rule_id: str) -> list[tuple[AlertEvent, str]]:
        """Return the events of one rule with their deliveries (pending, delivered, failed or none), newest first."""
        rows = self._store.query(
            f"{_EVENTS} WHERE rule_id = {{rule:String}} ORDER BY sequence DESC LIMIT 1000", {"rule": rule_id}
        )
        events = [_event(row) for row in rows]
        states = dict(
            self._store.query(
                "SELECT event_id, state FROM alert_deliveries FINAL WHERE event_id IN {ids:Array(String)}",
                {"ids": [event.id for event in events]},
            )
        )
        return [(event, states.get(event.id, "none")) for event in events]

    def record_delivery(self, event_id: str, state: str, *, attempts: int, at: datetime) -> None:
        """Store the state of an event's delivery: pending, delivered or failed."""
        self._store.command(
            _ADD_DELIVERY,
            {"id": event_id, "state": state, "attempts": attempts, "at": at, "version": self._versions.next()},
            settings=APPEND,
        )

    def pending_deliveries(self, *, since: datetime, before: datetime) -> list[AlertEvent]:
        """Return the events in `[since, before)` whose message is unsent, and was not tried at or after `before`."""
        rows = self._store.query(_EVENTS + _DUE_EVENTS, {"since": since, "before": before})
        return [_event(row) for row in rows]

    def _write(self, rule: AlertRule, *, deleted: bool = False) -> None:
        self._versions.write("alert_rules", _columns(rule, deleted=deleted))


def _check_filters(rules: Sequence[AlertRule]) -> None:
    if sum(len(text) for rule in rules for text in (*rule.include, *rule.exclude, *rule.has)) > MAX_FILTER_CHARACTERS:
        raise PlanLimitExceeded(
            f"the filters of an organization's alert rules may have {MAX_FILTER_CHARACTERS} characters together"
        )


def _columns(rule: AlertRule, *, deleted: bool) -> Columns:
    """Return the columns of a rule."""
    return {
        "id": ("String", rule.id),
        "organization_id": ("String", rule.organization_id),
        "application_id": ("String", rule.application_id),
        "name": ("String", rule.name),
        "metric": ("String", rule.metric.value),
        "percentile": ("UInt8", rule.percentile or 0),
        "include": ("Array(String)", list(rule.include)),
        "exclude": ("Array(String)", list(rule.exclude)),
        "has": ("Array(String)", list(rule.has)),
        "min_response_us": ("Nullable(UInt64)", rule.min_response_us),
        "max_response_us": ("Nullable(UInt64)", rule.max_response_us),
        "window_s": ("UInt32", rule.window_s),
        "direction": ("String", rule.direction.value),
        "threshold": ("Float64", rule.threshold),
        "minimum_requests": ("UInt64", rule.minimum_requests),
        "cooldown_s": ("UInt32", rule.cooldown_s),
        "webhook_url": ("String", rule.webhook_url or ""),
        "webhook_secret": ("String", rule.webhook_secret),
        "channel": ("String", rule.channel.value if rule.channel else ""),
        "routing_key": ("String", rule.routing_key or ""),
        "paused": ("UInt8", int(rule.paused)),
        "created_at": ("DateTime64(3, 'UTC')", rule.created_at.astimezone(timezone.utc)),
        "deleted": ("UInt8", int(deleted)),
    }


def _rule(row: tuple[Any, ...]) -> AlertRule:
    """Return the rule of a row of _RULES. In the table 0 and the empty text stand for None."""
    values = named(_RULE_COLUMNS, row)
    converted = {
        "metric": Metric(values["metric"]),
        "direction": Direction(values["direction"]),
        "percentile": values["percentile"] or None,
        "include": tuple(values["include"]),
        "exclude": tuple(values["exclude"]),
        "has": tuple(values["has"]),
        "webhook_url": values["webhook_url"] or None,
        "routing_key": values["routing_key"] or None,
        "channel": Channel(values["channel"]) if values["channel"] else None,
        "paused": bool(values["paused"]),
    }
    return AlertRule(**{**values, **converted})


def _event(row: tuple[Any, ...]) -> AlertEvent:
    """Return the event of a row of _EVENTS."""
    values = named(_EVENT_COLUMNS, row)
    return AlertEvent(**{**values, "kind": Transition(values["kind"])})
