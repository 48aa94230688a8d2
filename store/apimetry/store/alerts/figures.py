"""Count an organization's alert rules and fired alerts; no other module counts them."""

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
    """One organization's rules, also paused rules, and its fired alerts; times in seconds since the epoch."""

    rules: int = 0
    last_triggered_at: int | None = None
    triggered_last_24h: int = 0


def alert_figures(organization_id: str, *, ask: Ask, now: int) -> AlertFigures:
    """Return the figures at `now`, in seconds since the epoch; the alerts of deleted rules count, too."""
    parameters = {"organization": organization_id, "since": now - _DAY_S}
    ((last, recent, rules),) = ask(Statement(_SQL, parameters))
    return AlertFigures(rules, last, recent)
