"""Trying alert rules over HTTP (docs/alerts.md): what a rule would have done, and whether its messages arrive."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.alerting.evaluator import DELAY_S
from apimetry.query_api.alerting.outcomes import reason_of
from apimetry.query_api.alerting.past import Moments, moments_until
from apimetry.query_api.alerting.preview import preview
from apimetry.query_api.alerting.response import AlertTest
from apimetry.query_api.alerting.rule_bodies import AlertPreviewInput
from apimetry.query_api.alerting.rule_checks import RuleChecks
from apimetry.query_api.alerting.service import Sending
from apimetry.query_api.alerting.webhooks import is_success
from apimetry.query_api.answering import Answering
from apimetry.query_api.http.json_body import read_body
from apimetry.query_api.http.store_refusals import owned, run_answered
from apimetry.serving.credentials import ApplicationAccess, authorize
from apimetry.serving.errors import TooManyRequests
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import Application, KeyKind, RequestLimits
from apimetry.store.alerts.alerts import Alerts
from apimetry.store.alerts.records import AlertRule
from apimetry.store.statement import Ask

TEST_INTERVAL_S = 10
NO_ADDRESS = "no address"


class AlertTrialHandlers:
    """The handlers. `clock` returns seconds since the epoch.

    Mutable state, used on the event loop alone: when rules were tested in the last TEST_INTERVAL_S.
    """

    def __init__(
        self, answering: Answering, alerts: Alerts, checks: RuleChecks, messages: Sending, clock: Callable[[], float]
    ) -> None:
        self._answering = answering
        self._alerts = alerts
        self._checks = checks
        self._directory = checks.directory
        self._messages = messages
        self._clock = clock
        self._tested: dict[str, float] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/api/alerts/preview", self.preview),
            web.post("/api/alerts/{id}/test", self.test),
        ]

    async def preview(self, request: web.Request) -> web.Response:
        """Answer what the rule of the body would have measured and done over the last days."""
        access = await authorize(request, self._directory, KeyKind.read, KeyKind.admin, purpose="preview alert rules")
        body = await read_body(request, AlertPreviewInput)
        rule, application = await self._checks.new_rule(body, access)
        of_application = ApplicationAccess(access.principal, access.organization, application)
        moments = moments_until(self._answering.now() - DELAY_S, body.days)
        return await self._answering.respond(request, of_application, _encoded, rule, moments, application.limits)

    async def test(self, request: web.Request) -> web.Response:
        """Send a rule's receiver a message that is marked as a test, and answer whether it arrived."""
        access = await authorize(request, self._directory, KeyKind.admin, purpose="manage alert rules")
        name = request.match_info["id"]
        rule = await run_answered(self._alerts.store, lambda: self._alerts.rule(name))
        rule = owned(rule, access, "alert rule with the id", name)
        application = owned(
            self._directory.application(rule.application_id), access, "application", rule.application_id
        )
        self._note_test(rule.id)
        return json_response(await self._sent(rule, application))

    async def _sent(self, rule: AlertRule, application: Application) -> AlertTest:
        if rule.sends_by is None:
            return {"delivered": False, "status": None, "ms": 0, "error": NO_ADDRESS}
        began = time.monotonic()
        async with self._messages() as webhooks:
            outcome = await webhooks.send_test(rule, application)
        answer: AlertTest = {
            "delivered": is_success(outcome),
            "status": outcome if isinstance(outcome, int) else None,
            "ms": round(1000 * (time.monotonic() - began)),
        }
        if not answer["delivered"]:
            answer["error"] = reason_of(outcome)
        return answer

    def _note_test(self, rule_id: str) -> None:
        now = self._clock()
        self._tested = {name: at for name, at in self._tested.items() if 0 <= now - at < TEST_INTERVAL_S}
        if rule_id in self._tested:
            wait_s = self._tested[rule_id] + TEST_INTERVAL_S - now
            raise TooManyRequests(f"A rule is tested once in {TEST_INTERVAL_S} s", retry_after_s=wait_s)
        self._tested[rule_id] = now


def _encoded(ask: Ask, rule: AlertRule, moments: Moments, limits: RequestLimits) -> bytes:
    return encode(preview(rule, moments, limits, ask=ask))
