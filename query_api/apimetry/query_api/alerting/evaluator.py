"""Evaluate every alert rule every minute, once for all query services over one store.

1. The services take turns: `turns` gives each minute to one service. The others rest.
2. This service measures each rule over whole minutes, 10 s after the minute has ended. By then the minute's
   acknowledged events have left the spool.
3. A rule that fires or resolves gets its next event. Events are numbered, and each number is written once. If two
   services evaluate a rule at the same time (a slow service, a wrong clock), one of them writes the event and sends
   the webhook.
4. A webhook that failed is sent again with the following minutes for an hour, by the service that has the turn. The
   same happens after a kill of the sender. A receiver may see an event twice, with the same `webhook-id`, never none.

A minute that no service evaluates (all services are down, the store is away) is left out. The next minute continues.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from apimetry.query_api.alerting.judging import decide, judge, next_event
from apimetry.query_api.alerting.measuring import measurement, value_of
from apimetry.query_api.alerting.webhooks import FAILED, PENDING, Webhooks
from apimetry.serving.errors import BadRequest
from apimetry.store.accounts.accounts import Application
from apimetry.store.accounts.directory import Directory
from apimetry.store.alerts.alerts import Alerts
from apimetry.store.alerts.records import AlertEvent, AlertRule, AlertState
from apimetry.store.errors import StoreError, is_transient
from apimetry.store.statement import Ask
from apimetry.store.turns import take_turn

logger = logging.getLogger(__name__)

PURPOSE = "alerts"
DELAY_S = 10
# Longer than all attempts of one delivery: what was last tried before that, nobody is trying now.
RETRY_AFTER = timedelta(minutes=3)
GIVE_UP_AFTER = timedelta(hours=1)
MAX_DELIVERIES = 1000


class Evaluator:
    """One service's evaluator. `owner` tells it apart from the others; `ask` runs a statement within limits.

    At most `max_deliveries` are under way at once. Further events stay pending until a following minute.
    Mutable state: the deliveries under way, touched on the event loop alone.
    """

    def __init__(  # noqa: PLR0913 - what it works with, by keyword
        self,
        alerts: Alerts,
        directory: Directory,
        webhooks: Webhooks,
        *,
        ask: Ask,
        owner: str,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> None:
        self._alerts = alerts
        self._store = alerts.store
        self._directory = directory
        self._webhooks = webhooks
        self._ask = ask
        self._owner = owner
        self._max_deliveries = max_deliveries
        self._deliveries: set[asyncio.Task[None]] = set()

    async def run(self, clock: Callable[[], float]) -> None:
        """Evaluate each minute from now on, until cancelled; a store that is away costs minutes, not the loop."""
        while True:
            await asyncio.sleep(60 - (clock() - DELAY_S) % 60)
            minute_s = int(clock() - DELAY_S) // 60 * 60
            try:
                await self.evaluate(minute_s)
            except StoreError as error:
                logger.warning("alert rules were not evaluated this minute: %s", error)
            except Exception:
                logger.exception("alert rules were not evaluated this minute")

    async def evaluate(self, minute_s: int) -> list[AlertEvent]:
        """Evaluate every rule over the time before `minute_s`, if it is this service's turn; returns its events.

        Raises:
            StoreUnavailable: the store went away.
        """
        rules = {rule.id: rule for rule in await self._store.run(self._alerts.rules)}
        if not rules:
            return []
        if not await self._store.run(take_turn, self._store, PURPOSE, minute_s // 60, self._owner):
            return []
        now = datetime.fromtimestamp(minute_s, timezone.utc)
        states = await self._store.run(self._alerts.states, list(rules))
        values: dict[str, float | None] = {}
        happened = []
        for rule in rules.values():
            application = self._directory.application(rule.application_id)
            if rule.paused or application is None:
                continue
            try:
                event = await self._store.run(self._evaluate, rule, application, states[rule.id], now, values)
            except (StoreError, BadRequest) as error:
                if is_transient(error):
                    raise
                logger.warning("alert rule %s cannot be evaluated: %s", rule.id, error)
                continue
            if event is not None:
                happened.append(event)
                self._send(rule, event, application)
        await self._store.run(self._alerts.record_measurements, values, now)
        await self._send_again(rules, now)
        return happened

    async def finish_deliveries(self) -> None:
        """Wait until no delivery is under way."""
        await asyncio.gather(*self._deliveries)

    async def close(self) -> None:
        """Break off the deliveries under way; another service, or the next start, sends them again."""
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    def _evaluate(
        self,
        rule: AlertRule,
        application: Application,
        state: AlertState,
        now: datetime,
        values: dict[str, float | None],
    ) -> AlertEvent | None:
        """Measure one rule, in a thread of the store; returns its event if it has one and this service wrote it."""
        ((requests, measure),) = self._ask(measurement(rule, int(now.timestamp())))
        value = values[rule.id] = value_of(rule, requests, measure, application.limits)
        transition = decide(rule, state.last_event, holds=judge(rule, value, now), now=now)
        if transition is None or value is None:
            return None
        event = self._identified(next_event(rule, state.last_event, transition, value, now))
        return event if self._alerts.record_event(event) else None

    def _identified(self, event: AlertEvent) -> AlertEvent:
        identity = f"{event.rule_id}/{event.sequence}/{self._owner}/{event.at.isoformat()}"
        return replace(event, id=hashlib.sha256(identity.encode()).hexdigest()[:24])

    async def _send_again(self, rules: Mapping[str, AlertRule], now: datetime) -> None:
        due = await self._store.run(
            lambda: self._alerts.pending_deliveries(since=now - GIVE_UP_AFTER, before=now - RETRY_AFTER)
        )
        for event in due:
            rule = rules.get(event.rule_id)
            application = self._directory.application(event.application_id)
            if rule is not None and application is not None:
                self._send(rule, event, application, is_last=now - event.at > GIVE_UP_AFTER - 2 * RETRY_AFTER)

    def _send(self, rule: AlertRule, event: AlertEvent, application: Application, *, is_last: bool = False) -> None:
        if rule.sends_by is None or len(self._deliveries) >= self._max_deliveries:
            return
        task = asyncio.create_task(self._deliver(rule, event, application, is_last=is_last))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, rule: AlertRule, event: AlertEvent, application: Application, *, is_last: bool) -> None:
        try:
            await self._note(event, PENDING, 0)
            state, attempts = await self._webhooks.deliver(rule, event, application)
            await self._note(event, FAILED if is_last and state == PENDING else state, attempts)
        except StoreError as error:
            logger.warning("how the webhook of alert event %s went is not recorded: %s", event.id, error)
        except Exception:
            logger.exception("alert event %s was not sent", event.id)

    async def _note(self, event: AlertEvent, state: str, attempts: int) -> None:
        at = datetime.fromtimestamp(self._webhooks.now_s(), timezone.utc)
        await self._store.run(lambda: self._alerts.record_delivery(event.id, state, attempts=attempts, at=at))
