"""Alert rules over HTTP (docs/api.md, "Management"): admin keys change them, read keys look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from aiohttp import web

from apimetry.query_api.alerting.reachability import check_limits
from apimetry.query_api.alerting.rule_bodies import (
    AlertChange,
    AlertInput,
    changes_of,
)
from apimetry.query_api.alerting.rule_checks import RuleChecks
from apimetry.query_api.alerting.rule_filters import filters_of_rule
from apimetry.query_api.alerting.rule_response import AlertRule as ShownRule
from apimetry.query_api.alerting.rule_response import NewAlertRule, OneAlertRule, event_json, rule_json
from apimetry.query_api.http.json_body import read_body
from apimetry.query_api.http.listing import page_of
from apimetry.query_api.http.store_refusals import owned, refusals_answered, run_answered
from apimetry.serving.credentials import Access, authorize
from apimetry.serving.service import json_response
from apimetry.store.accounts.accounts import KeyKind
from apimetry.store.accounts.directory import Directory
from apimetry.store.alerts.alerts import Alerts
from apimetry.store.alerts.records import AlertRule, AlertState, checked_rule, new_webhook_secret

T = TypeVar("T")

_ADDRESS = frozenset({"webhook_url", "channel", "routing_key"})


class AlertHandlers:
    """The handlers. Another organization's rule is a 404."""

    def __init__(self, alerts: Alerts, directory: Directory, checks: RuleChecks) -> None:
        self._alerts = alerts
        self._directory = directory
        self._checks = checks

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of alert rules."""
        return [
            web.get("/api/alerts", self.list_rules),
            web.post("/api/alerts", self.create_rule),
            web.get("/api/alerts/{id}", self.get_rule),
            web.patch("/api/alerts/{id}", self.change_rule),
            web.delete("/api/alerts/{id}", self.delete_rule),
            web.post("/api/alerts/{id}/rotate", self.rotate_secret),
            web.get("/api/alerts/{id}/events", self.list_events),
        ]

    async def list_rules(self, request: web.Request) -> web.Response:
        """Answer one page of the organization's rules, of one application where the request or its key names it."""
        access = await self._authorize_reading(request)
        rows = await self._run(lambda: self._shown(access))
        return json_response(page_of(request.query.items(), rows, "alerts"))

    async def create_rule(self, request: web.Request) -> web.Response:
        """Make a rule; the answer is the only place where its webhook's secret is shown."""
        access = await self._authorize(request)
        body = await read_body(request, AlertInput)
        rule, _ = await self._checks.new_rule(body, access)
        created = await self._run(lambda: self._alerts.create(rule))
        return json_response(
            NewAlertRule(alert=rule_json(created, AlertState()), secret=created.webhook_secret), status=201
        )

    async def get_rule(self, request: web.Request) -> web.Response:
        """Answer one rule and where it stands."""
        access = await self._authorize_reading(request)
        shown = await self._run(lambda: self._one(self._rule(request, access)))
        return json_response(OneAlertRule(alert=_visible(shown, access)))

    async def change_rule(self, request: web.Request) -> web.Response:
        """Change what the body names; a paused rule is not evaluated and stays where it stands."""
        access = await self._authorize(request)
        body = await read_body(request, AlertChange)

        old = await self._run(lambda: self._rule(request, access))
        changes = changes_of(body, old)
        await self._check_change(old, changes)
        changed = await self._run(lambda: self._one(self._alerts.update(old.id, changes)))
        return json_response(OneAlertRule(alert=changed))

    async def _check_change(self, old: AlertRule, changes: Mapping[str, Any]) -> None:
        """Raise BadRequest where the changed rule could never fire, or never tell; what stays was checked before."""
        with refusals_answered():
            rule = checked_rule(replace(old, **changes))
        filters_of_rule(rule)
        application = self._directory.application(old.application_id)
        if "metric" in changes and application is not None:
            check_limits(rule, application)
        if _ADDRESS.intersection(changes):
            await self._checks.reachability.check_address(rule)

    async def delete_rule(self, request: web.Request) -> web.Response:
        """Delete a rule."""
        access = await self._authorize(request)
        await self._run(lambda: self._alerts.delete(self._rule(request, access).id))
        return web.Response(status=204)

    async def rotate_secret(self, request: web.Request) -> web.Response:
        """Give a rule's webhook another secret, shown in this answer alone; the old one signs nothing more."""
        access = await self._authorize(request)
        secret = new_webhook_secret()

        def rotate() -> ShownRule:
            return self._one(self._alerts.update(self._rule(request, access).id, {"webhook_secret": secret}))

        return json_response(NewAlertRule(alert=await self._run(rotate), secret=secret), status=201)

    async def list_events(self, request: web.Request) -> web.Response:
        """Answer one page of what a rule did, the last first, of its last thousand events."""
        access = await self._authorize_reading(request)
        events = await self._run(lambda: self._alerts.events(self._rule(request, access).id))
        rows = [event_json(event, delivery) for event, delivery in events]
        return json_response(page_of(request.query.items(), rows, "events"))

    async def _authorize(self, request: web.Request) -> Access:
        return await authorize(request, self._directory, KeyKind.admin, purpose="manage alert rules")

    async def _authorize_reading(self, request: web.Request) -> Access:
        return await authorize(
            request, self._directory, KeyKind.read, KeyKind.admin, purpose="see alert rules and their events"
        )

    async def _run(self, call: Callable[[], T]) -> T:
        return await run_answered(self._alerts.store, call)

    def _rule(self, request: web.Request, access: Access) -> AlertRule:
        name = request.match_info["id"]
        rule = self._alerts.rule(name)
        # A read key sees its own application alone.
        is_hidden = access.principal.application_id not in (None, rule.application_id)
        return owned(None if is_hidden else rule, access, "alert rule with the id", name)

    def _one(self, rule: AlertRule) -> ShownRule:
        return rule_json(rule, self._alerts.states([rule.id])[rule.id])

    def _shown(self, access: Access) -> list[ShownRule]:
        application = access.application.id if access.application else None
        rules = self._alerts.rules(access.organization.id)
        rules = [rule for rule in rules if application in (None, rule.application_id)]
        states = self._alerts.states([rule.id for rule in rules])
        return [_visible(rule_json(rule, states[rule.id]), access) for rule in rules]


def _visible(rule: ShownRule, access: Access) -> ShownRule:
    """Return what the key may see of a rule: an address of a chat is as good as its password."""
    visible = rule.copy()
    if access.principal.kind is not KeyKind.admin:
        visible.pop("webhookUrl", None)
    return visible
