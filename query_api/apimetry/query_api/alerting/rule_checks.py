"""Make a rule of a request's body, after all checks: to store the rule, or to try it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from apimetry.query_api.alerting.reachability import Reachability, check_limits
from apimetry.query_api.alerting.rule_bodies import AlertInput, new_rule
from apimetry.query_api.alerting.rule_filters import filters_of_rule
from apimetry.query_api.http.store_refusals import owned, refusals_answered
from apimetry.serving.credentials import Access
from apimetry.store.accounts.accounts import Application, KeyKind
from apimetry.store.accounts.directory import Directory
from apimetry.store.alerts.records import AlertRule, checked_rule


class RuleChecks:
    """Checks rules; `clock` returns seconds since the epoch."""

    def __init__(self, directory: Directory, reachability: Reachability, clock: Callable[[], float]) -> None:
        self.reachability = reachability
        self.directory = directory
        self._clock = clock

    async def new_rule(self, body: AlertInput, access: Access) -> tuple[AlertRule, Application]:
        """Return the rule that a body describes, and its application.

        The address of an admin key's rule is looked up. A read key can only try a rule, which tells nobody.

        Raises:
            BadRequest: the rule could never fire, or never tell.
            NotFound: the key may not see the application.
        """
        is_hidden = access.principal.application_id not in (None, body.application)
        visible = None if is_hidden else self.directory.application(body.application)
        application = owned(visible, access, "application", body.application)
        rule = new_rule(body, access.organization.id, datetime.fromtimestamp(self._clock(), timezone.utc))
        filters_of_rule(rule)
        with refusals_answered():
            checked_rule(rule)
        check_limits(rule, application)
        if access.principal.kind is KeyKind.admin:
            await self.reachability.check_address(rule)
        return rule, application
