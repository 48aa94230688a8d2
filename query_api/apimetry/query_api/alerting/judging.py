"""Decide when a rule fires and when it resolves. Pure.

- A rule fires when its condition holds, unless it fires already or last fired less than its cooldown ago. So a value
  that swings around the threshold makes one alarm for each cooldown at most.
- It resolves as soon as the condition does not hold any more.
- Too few requests (fewer than the minimum, or none for a rate or a latency) change nothing: they prove nothing.
- A rule about no data is not judged before it is one window old.
- An event from more than MAX_AHEAD in the future was written by a clock that was wrong then. It still tells the
  rule's state, and it delays nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from apimetry.store.alerts.records import AlertEvent, AlertRule, Direction, Metric, Transition

MAX_AHEAD = timedelta(minutes=5)
"""How far the clocks of services over one store may be apart."""


def judge(rule: AlertRule, value: float | None, now: datetime) -> bool | None:
    """Return whether the rule's condition holds for what was measured until `now`; None where nobody can say."""
    if value is None:
        return None
    if rule.metric is Metric.no_data:
        if value == 0 and now < rule.created_at + timedelta(seconds=rule.window_s):
            return None
        return value == 0
    return value > rule.threshold if rule.direction is Direction.above else value < rule.threshold


def decide(rule: AlertRule, last: AlertEvent | None, *, holds: bool | None, now: datetime) -> Transition | None:
    """Return what happens to a rule at `now` whose last event is `last`; None where nothing does."""
    # An event of this minute or a slightly later one is another service's, which was faster.
    if holds is None or (last is not None and now <= last.at <= now + MAX_AHEAD):
        return None
    if last is not None and last.kind is Transition.firing:
        return None if holds else Transition.resolved
    if not holds or (last is not None and _is_cooling(rule, last, now)):
        return None
    return Transition.firing


def next_event(
    rule: AlertRule, last: AlertEvent | None, transition: Transition, value: float, now: datetime
) -> AlertEvent:
    """Return the event of a rule that fires or resolves at `now`, without an id; `last` is the event before it."""
    return AlertEvent(
        id="",
        rule_id=rule.id,
        organization_id=rule.organization_id,
        application_id=rule.application_id,
        sequence=last.sequence + 1 if last else 1,
        kind=transition,
        at=now,
        fired_at=last.fired_at if last and transition is Transition.resolved else now,
        value=value,
        threshold=rule.threshold,
    )


def _is_cooling(rule: AlertRule, last: AlertEvent, now: datetime) -> bool:
    return last.fired_at - MAX_AHEAD <= now < last.fired_at + timedelta(seconds=rule.cooldown_s)
