"""How many alert rules an organization has, and what they triggered: the one place that counts them."""

from __future__ import annotations

from dataclasses import dataclass

from apimetry.store.statement import Ask, Statement

_DAY_S = 86400
_SQL = """SELECT toUnixTimestamp(maxOrNull(at)), countIf(at > fromUnixTimestamp({since:Int64})), (
    SELECT count() FROM alert_rules FINAL
    WHERE organization_id = {organization:String} AND deleted = 0
      AND application_id IN (SELECT id FROM applications FINAL WHERE deleted = 0)
  )
FROM alert_events FINAL
WHERE organization_id = {organization:String} AND kind = 'firing'"""


@dataclass(frozen=True)
class AlertFigures:
    """Of one organization: rules that exist, paused ones included; and what they triggered, times in seconds."""

    rules: int = 0
    last_triggered_at: int | None = None
    triggered_last_24h: int = 0


def alert_figures(organization_id: str, *, ask: Ask, now: int) -> AlertFigures:
    """Return the figures at `now`; what a deleted rule triggered counts on."""
    parameters = {"organization": organization_id, "since": now - _DAY_S}
    ((last, recent, rules),) = ask(Statement(_SQL, parameters))
    return AlertFigures(rules, last, recent)
