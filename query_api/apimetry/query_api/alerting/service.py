"""Run the evaluator inside the query service, from its start to its end, and open what sends messages."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiohttp import web

from apimetry.query_api.alerting.evaluator import Evaluator
from apimetry.query_api.alerting.mail import Mailer
from apimetry.query_api.alerting.webhooks import Webhooks, webhook_session
from apimetry.query_api.engine import Engine
from apimetry.query_api.settings import QuerySettings
from apimetry.serving.background import in_background
from apimetry.store.accounts.directory import Directory
from apimetry.store.alerts.alerts import Alerts

Sending = Callable[[], AbstractAsyncContextManager[Webhooks]]
"""Returns a context that gives what sends messages."""


def sending(settings: QuerySettings, clock: Callable[[], float]) -> Sending:
    """Return what opens the connections for messages; `clock` returns seconds since the epoch."""

    @asynccontextmanager
    async def context() -> AsyncIterator[Webhooks]:
        allow_private, mailer = settings.allow_private_webhooks, Mailer(settings.smtp)
        async with webhook_session(allow_private=allow_private) as session:
            yield Webhooks(
                session, allow_private=allow_private, mailer=mailer, public_url=settings.public_url, clock=clock
            )

    return context


def evaluating(
    alerts: Alerts, directory: Directory, engine: Engine, messages: Sending, clock: Callable[[], float]
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return a cleanup context that evaluates alert rules every minute; `clock` returns seconds since the epoch."""

    async def context(_: web.Application) -> AsyncIterator[None]:
        async with messages() as webhooks:
            evaluator = Evaluator(alerts, directory, webhooks, ask=engine.ask, owner=secrets.token_hex(8))
            async with in_background("apimetry-alerts", evaluator.run(clock)):
                yield
            await evaluator.close()

    return context
