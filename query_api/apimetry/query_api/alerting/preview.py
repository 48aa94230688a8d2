"""Tell what a rule would have done over the last days, judged as the evaluator judges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone

from apimetry.query_api.alerting.judging import decide, judge, next_event
from apimetry.query_api.alerting.past import Moments, past_values
from apimetry.query_api.alerting.response import AlertPreview, MomentPoint, PreviewedFiring
from apimetry.query_api.http.json_values import iso_time
from apimetry.store.accounts.accounts import RequestLimits
from apimetry.store.alerts.records import AlertEvent, AlertRule, Direction, Metric, Transition
from apimetry.store.statement import Ask


def preview(rule: AlertRule, moments: Moments, limits: RequestLimits, *, ask: Ask) -> AlertPreview:
    """Return what `rule` would have measured and done at `moments`. Blocks while `ask` does.

    Raises:
        BadRequest: the question is too large.
    """
    points = list(zip(moments.times(), past_values(rule, moments, limits, ask=ask), strict=True))
    return {
        "points": points,
        "threshold": None if rule.metric is Metric.no_data else rule.threshold,
        "firings": firings(rule, points),
        "evaluated": len(points),
    }


def firings(rule: AlertRule, points: Iterable[MomentPoint]) -> list[PreviewedFiring]:
    """Return when the rule would have fired, had it been made long before."""
    rule = replace(rule, created_at=datetime.fromtimestamp(0, timezone.utc))
    furthest = max if rule.direction is Direction.above and rule.metric is not Metric.no_data else min
    last: AlertEvent | None = None
    shown_firings: list[PreviewedFiring] = []
    for moment, value in points:
        now = datetime.fromtimestamp(moment, timezone.utc)
        transition = decide(rule, last, holds=judge(rule, value, now), now=now)
        if transition is not None and value is not None:
            last = next_event(rule, last, transition, value, now)
            if transition is Transition.firing:
                shown_firings.append({"at": iso_time(moment), "until": None, "peak": value})
            else:
                shown_firings[-1]["until"] = iso_time(moment)
        if value is not None and shown_firings and shown_firings[-1]["until"] is None:
            shown_firings[-1]["peak"] = furthest(shown_firings[-1]["peak"], value)
    return shown_firings
