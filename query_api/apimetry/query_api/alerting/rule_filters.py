"""The filters of a rule: the same as those of a question. Pure."""

from __future__ import annotations

from apimetry.query_api.planning.filters import AnyFilter, bounds, containing_filters, parse_filters
from apimetry.store.alerts.records import AlertRule


def filters_of_rule(rule: AlertRule) -> tuple[AnyFilter, ...]:
    """Return which requests the rule is about; all of the filters must hold.

    Raises:
        BadRequest: names the text and what is allowed, or the bounds of which no time is between.
    """
    return (
        *parse_filters(rule.include, rule.exclude),
        *containing_filters(rule.has),
        *bounds(rule.min_response_us, rule.max_response_us, ("minResponseUs", "maxResponseUs")),
    )
