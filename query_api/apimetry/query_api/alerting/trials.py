"""Trying alert rules over HTTP (docs/alerts.md): what a rule would have done, and whether its messages arrive."""

from __future__ import annotations

from aiohttp import web
from msgspec.json import encode

from apimetry.query_api.alerting.evaluator import DELAY_S
from apimetry.query_api.alerting.past import Moments, moments_until
from apimetry.query_api.alerting.preview import preview
from apimetry.query_api.alerting.rule_bodies import AlertPreviewInput
from apimetry.query_api.alerting.rule_checks import RuleChecks
from apimetry.query_api.answering import Answering
from apimetry.query_api.http.json_body import read_body
from apimetry.serving.credentials import ApplicationAccess, authorize
from apimetry.store.accounts.accounts import KeyKind, RequestLimits
from apimetry.store.accounts.directory import Directory
from apimetry.store.alerts.records import AlertRule
from apimetry.store.statement import Ask


class AlertTrialHandlers:
    """The handlers."""

    def __init__(self, answering: Answering, directory: Directory, checks: RuleChecks) -> None:
        self._answering = answering
        self._directory = directory
        self._checks = checks

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/api/alerts/preview", self.preview)]

    async def preview(self, request: web.Request) -> web.Response:
        """Answer what the rule of the body would have measured and done over the last days."""
        access = await authorize(request, self._directory, KeyKind.read, KeyKind.admin, purpose="preview alert rules")
        body = await read_body(request, AlertPreviewInput)
        rule, application = await self._checks.new_rule(body, access)
        of_application = ApplicationAccess(access.principal, access.organization, application)
        moments = moments_until(self._answering.now() - DELAY_S, body.days)
        return await self._answering.respond(request, of_application, _encoded, rule, moments, application.limits)


def _encoded(ask: Ask, rule: AlertRule, moments: Moments, limits: RequestLimits) -> bytes:
    return encode(preview(rule, moments, limits, ask=ask))
