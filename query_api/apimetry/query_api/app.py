"""The query service as an aiohttp application."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry

from apimetry.query_api.alerting.api import AlertHandlers
from apimetry.query_api.alerting.history import AlertHistoryHandlers
from apimetry.query_api.alerting.mail import Mailer
from apimetry.query_api.alerting.reachability import Reachability
from apimetry.query_api.alerting.rule_checks import RuleChecks
from apimetry.query_api.alerting.service import evaluating, sending
from apimetry.query_api.alerting.trials import AlertTrialHandlers
from apimetry.query_api.answering import Answering
from apimetry.query_api.breakdown.api import BreakdownHandlers
from apimetry.query_api.collectors.api import CollectorHandlers
from apimetry.query_api.dashboard.api import DashboardHandlers
from apimetry.query_api.dashboard.files import Files
from apimetry.query_api.deletion.api import DeletionHandlers
from apimetry.query_api.deletion.deletions import Deletions
from apimetry.query_api.engine import Engine
from apimetry.query_api.events.api import EventsHandlers
from apimetry.query_api.events.live import LiveHandlers
from apimetry.query_api.explain.api import ExplainHandlers
from apimetry.query_api.export.api import ExportHandlers
from apimetry.query_api.http.cors import cors_marker, cors_middleware
from apimetry.query_api.http.middlewares import (
    access_log_middleware,
    compression_middleware,
    developer_error_middleware,
    plain_bodies_middleware,
)
from apimetry.query_api.insights.api import InsightsHandlers
from apimetry.query_api.latency.api import LatencyHandlers
from apimetry.query_api.management.api import ManagementHandlers
from apimetry.query_api.me.api import MeHandlers
from apimetry.query_api.openapi.document import build_document
from apimetry.query_api.overview.api import OverviewHandlers
from apimetry.query_api.pages.pages import Pages
from apimetry.query_api.quality.api import QualityHandlers
from apimetry.query_api.queueing.askers import client_left_middleware
from apimetry.query_api.queueing.metrics import QueueMetrics
from apimetry.query_api.settings import QuerySettings
from apimetry.query_api.sharing.api import SessionHandlers
from apimetry.query_api.sharing.codes import SignInCode
from apimetry.query_api.sharing.keeping import Keeping
from apimetry.query_api.sharing.links import LinkHandlers
from apimetry.query_api.summary.api import SummaryHandlers
from apimetry.query_api.timeseries.api import TimeseriesHandlers
from apimetry.query_api.usage.api import UsageHandlers
from apimetry.query_api.values.api import ValuesHandlers
from apimetry.query_api.versions.api import VersionsHandlers
from apimetry.serving.errors import error_middleware
from apimetry.serving.openapi import Fragment
from apimetry.serving.request_ids import request_id_marker, request_id_middleware
from apimetry.serving.service import add_service_routes, metrics_middleware, new_registry, no_store
from apimetry.store.accounts.accounts import Accounts
from apimetry.store.accounts.directory import Directory
from apimetry.store.accounts.tokens import Tokens
from apimetry.store.alerts.alerts import Alerts
from apimetry.store.client import Store
from apimetry.store.jobs import Jobs


def create_app(  # noqa: PLR0913 - what the service is made of
    store: Store,
    directory: Directory,
    settings: QuerySettings,
    *,
    collector: Fragment | None = None,
    clock: Callable[[], float] = time.time,
    dashboard: Files | None = None,
    sign_in_code: SignInCode | None = None,
) -> web.Application:
    """Return the query service. The caller opens and closes `store` and `directory`.

    `collector` is the collector's part of the OpenAPI document.
    `clock` returns seconds since the epoch: the end of queries about the time until now.
    `dashboard` holds the built page; by default the one of this installation.
    `sign_in_code` opens the first session of a service that was just started.
    """
    registry = new_registry()
    app = web.Application(
        # The outermost first. They count, log and compress what clients see: inside, errors became responses.
        middlewares=[
            request_id_middleware,
            metrics_middleware(registry, "query"),
            access_log_middleware,
            cors_middleware(settings.allowed_origins),
            compression_middleware(settings.compress_over_bytes),
            developer_error_middleware,
            error_middleware,
            plain_bodies_middleware,
            client_left_middleware,
        ],
        client_max_size=settings.max_body_bytes,
        # Bodies are not compressed. aiohttp would inflate one without a limit, before the check of the key.
        handler_args={"auto_decompress": False},
    )
    app.on_response_prepare.append(no_store)
    app.on_response_prepare.append(request_id_marker)
    app.on_response_prepare.append(cors_marker(settings.allowed_origins))
    engine = Engine(store, settings)
    answering = Answering(engine, directory, clock)
    _add_questions(app, store, answering, directory, settings, registry, clock)
    _add_management(app, store, answering, directory, settings, clock)
    keeping = Keeping(Tokens(store), directory)
    app.add_routes(SessionHandlers(keeping, sign_in_code).routes())
    app.add_routes(LinkHandlers(keeping).routes())
    pages = Pages(build_document(settings, collector or Fragment()))
    app.add_routes(pages.routes())
    app.add_routes(DashboardHandlers(pages.start, dashboard, _framing(directory)).routes())
    add_service_routes(app, registry, engine.unready_reasons, service="query", hosts=store.hosts)
    return app


def _framing(directory: Directory) -> Callable[[str], Sequence[str]]:
    """Return a function that returns the origins whose pages may frame a link's page."""

    def origins(link_id: str) -> Sequence[str]:
        link = directory.link(link_id) if directory.loaded else None
        return link.fixed.embed_origins if link is not None and link.fixed is not None else ()

    return origins


def _add_questions(  # noqa: PLR0913, PLR0917 - what their handlers need
    app: web.Application,
    store: Store,
    answering: Answering,
    directory: Directory,
    settings: QuerySettings,
    registry: CollectorRegistry,
    clock: Callable[[], float],
) -> None:
    """Add what read keys ask: figures, events and exports."""
    engine = answering.engine
    live = LiveHandlers(answering, clock, registry, settings.live)
    exports = ExportHandlers(store, directory, settings)
    for routes in (
        TimeseriesHandlers(answering, settings).routes(),
        UsageHandlers(answering).routes(),
        BreakdownHandlers(answering).routes(),
        ValuesHandlers(answering).routes(),
        VersionsHandlers(answering).routes(),
        ExplainHandlers(answering).routes(),
        SummaryHandlers(answering).routes(),
        LatencyHandlers(answering).routes(),
        InsightsHandlers(answering, settings).routes(),
        QualityHandlers(answering).routes(),
        MeHandlers(answering, directory, settings).routes(),
        live.routes(),
        EventsHandlers(answering).routes(),
        exports.routes(),
    ):
        app.add_routes(routes)
    app.on_shutdown.append(live.close)
    registry.register(QueueMetrics({"questions": engine.queue, "exports": exports.queue}))
    registry.register(engine.memory)
    registry.register(exports.slow_readers)


def _add_management(  # noqa: PLR0913, PLR0917 - likewise
    app: web.Application,
    store: Store,
    answering: Answering,
    directory: Directory,
    settings: QuerySettings,
    clock: Callable[[], float],
) -> None:
    """Add what admin keys manage: accounts, deletions and alert rules, and the evaluation of the rules."""
    accounts, alerts = Accounts(store), Alerts(store)
    deletions = Deletions(Jobs(store), clock, max_wait_s=settings.max_deletion_wait_s)
    reachability = Reachability(
        allow_private=settings.allow_private_webhooks, sends_mail=Mailer(settings.smtp).is_configured
    )
    checks = RuleChecks(directory, reachability, clock)
    messages = sending(settings, clock)
    for routes in (
        OverviewHandlers(answering, accounts, directory).routes(),
        CollectorHandlers(answering, directory).routes(),
        DeletionHandlers(deletions, directory).routes(),
        ManagementHandlers(accounts, directory, deletions, plan_changes=settings.plan_changes).routes(),
        AlertTrialHandlers(answering, alerts, checks, messages, clock).routes(),
        AlertHandlers(alerts, directory, checks).routes(),
        AlertHistoryHandlers(answering).routes(),
    ):
        app.add_routes(routes)
    app.cleanup_ctx.append(deletions.running)
    if settings.evaluate_alerts:
        app.cleanup_ctx.append(evaluating(alerts, directory, answering.engine, messages, clock))
