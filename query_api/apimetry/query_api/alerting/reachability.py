"""Refuse a rule that could never work: its limits are not set, or its address is not allowed."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from apimetry.query_api.alerting.addresses import AddressRefused, PublicResolver, check_host
from apimetry.serving.errors import BadRequest
from apimetry.store.accounts.records import Application, RequestLimits
from apimetry.store.alerts.channels import Channel
from apimetry.store.alerts.records import AlertRule, Metric

RESOLVE_TIMEOUT_S = 2.0


class Reachability:
    """Checks rules against what this service may do; `resolver` finds the addresses of names."""

    def __init__(self, *, allow_private: bool, sends_mail: bool, resolver: AbstractResolver | None = None) -> None:
        self._allow_private = allow_private
        self._sends_mail = sends_mail
        self._resolver = resolver

    async def check_address(self, rule: AlertRule) -> None:
        """Raise BadRequest where the rule's messages would be refused by this service.

        A name that cannot be resolved now passes: it is checked again whenever something is sent.
        """
        if rule.sends_by is Channel.email:
            if not self._sends_mail:
                raise BadRequest(
                    "webhookUrl is for e-mail, and this service has no mail server: whoever runs it sets smtp_host"
                    " and smtp_from"
                )
        elif rule.webhook_url is not None and not self._allow_private:
            await self._check_public(URL(rule.webhook_url))

    async def _check_public(self, url: URL) -> None:
        try:
            check_host(url.host or "")
            names = PublicResolver(self._resolver or aiohttp.ThreadedResolver())
            await asyncio.wait_for(names.resolve(url.host or "", url.port or 0), RESOLVE_TIMEOUT_S)
        except AddressRefused as error:
            raise BadRequest(
                f"webhookUrl is not allowed: {error}, and this service sends to public ones alone"
                " (allow_private_webhooks)"
            ) from error
        except (OSError, asyncio.TimeoutError):
            return


def check_limits(rule: AlertRule, application: Application) -> None:
    """Raise BadRequest where the rule measures limits and its application has none: it could never fire."""
    if rule.metric is Metric.limit_utilization and application.limits == RequestLimits():
        raise BadRequest(
            f"metric is limit_utilization, and the application {application.id!r} has no limits:"
            " set one of limits.requestsPerMinute, requestsPerHour and requestsPerDay first"
        )
