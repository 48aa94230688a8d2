"""Send alert events where their rules say: in time, and never to a private address unless allowed.

A rule's channel is the form of its messages: `payloads` for chats and PagerDuty, `mail` for e-mail. All other rules
send our own JSON, signed after the Standard Webhooks specification (https://www.standardwebhooks.com), for which
receivers find libraries in many languages:

- `webhook-id` names the event, the same on each attempt;
- `webhook-timestamp` is the time of the attempt;
- `webhook-signature` is `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`.

Bounds: one attempt takes 10 s at most; five attempts with their waits take some 70 s. Only the status of a response
is read, never its body. A redirect is not followed and counts as a refusal.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from secrets import token_hex

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from apimetry.query_api.alerting.addresses import AddressRefused, PublicResolver, check_host
from apimetry.query_api.alerting.judging import next_event
from apimetry.query_api.alerting.links import link_of
from apimetry.query_api.alerting.mail import Mailer, NoMailServer, may_take_later
from apimetry.query_api.alerting.notices import Notice, notice_of, trial_notice_of
from apimetry.query_api.alerting.payloads import CHAT, pagerduty, pagerduty_end
from apimetry.query_api.http.json_values import iso_datetime
from apimetry.query_api.settings import SmtpSettings
from apimetry.store.accounts.accounts import Application
from apimetry.store.alerts.channels import PAGERDUTY_URL, Channel, recipients
from apimetry.store.alerts.records import AlertEvent, AlertRule, Metric, Transition

logger = logging.getLogger(__name__)

ATTEMPTS = 5
ATTEMPT_TIMEOUT_S = 10.0
FIRST_WAIT_S = 1.0
CONCURRENT_CALLS = 20

DELIVERED, PENDING, FAILED = "delivered", "pending", "failed"


def sign(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` of one attempt; `secret` begins with `whsec_`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def payload(rule: AlertRule, event: AlertEvent, application: Application, *, kind: str, url: str | None) -> bytes:
    """Return what is sent: what happened, to which rule, of which application, what was measured, where to look."""
    return msgspec.json.encode(
        {
            "type": f"alert.{kind}",
            "timestamp": iso_datetime(event.at),
            "data": {
                "kind": kind,
                "id": event.id,
                "application": {"id": application.id, "name": application.name},
                "rule": {
                    "id": rule.id,
                    "name": rule.name,
                    "metric": rule.metric.value,
                    "percentile": rule.percentile,
                    "direction": None if rule.metric is Metric.no_data else rule.direction.value,
                    "threshold": None if rule.metric is Metric.no_data else event.threshold,
                    "windowS": rule.window_s,
                },
                "value": event.value,
                "firedAt": iso_datetime(event.fired_at),
                "url": url,
            },
        }
    )


def causes_of(error: BaseException) -> tuple[object, ...]:
    """Return an error of a call and those that it stands for."""
    return error, error.__cause__, getattr(error, "os_error", None)


def worth_another_try(outcome: int | BaseException) -> bool:
    """Return whether a webhook's status, or what went wrong instead of one, may be another the next time."""
    if isinstance(outcome, int):
        return outcome in (408, 429) or outcome >= 500
    return not any(isinstance(cause, (AddressRefused, aiohttp.InvalidURL)) for cause in causes_of(outcome))


@asynccontextmanager
async def webhook_session(
    *, allow_private: bool, resolver: AbstractResolver | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a session whose connections go to public addresses alone, unless `allow_private`."""
    names = resolver or aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(
        resolver=names if allow_private else PublicResolver(names),
        use_dns_cache=False,
        # A connection that is kept would outlive the check of its address.
        force_close=True,
        limit=CONCURRENT_CALLS,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S),
        headers={"User-Agent": f"apimetry/{version('apimetry')}", "Content-Type": "application/json"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield session


def is_success(outcome: int | BaseException) -> bool:
    """Return whether the receiver took a message."""
    return isinstance(outcome, int) and 200 <= outcome < 300


class Webhooks:
    """Delivers events; `clock` returns seconds since the epoch, `sleep` waits between attempts.

    `public_url` is the address of the page.
    """

    def __init__(  # noqa: PLR0913 - what messages go by, by keyword
        self,
        session: aiohttp.ClientSession,
        *,
        allow_private: bool,
        mailer: Mailer | None = None,
        public_url: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._mailer = mailer or Mailer(SmtpSettings())
        self._public_url = public_url
        self._allow_private = allow_private
        self._clock = clock
        self._sleep = sleep

    async def deliver(self, rule: AlertRule, event: AlertEvent, application: Application) -> tuple[str, int]:
        """Return how it ended and after how many attempts: delivered, failed for good, or pending for a later try."""
        notice = notice_of(rule, event, application)
        is_passing = may_take_later if rule.sends_by is Channel.email else worth_another_try
        wait_s = FIRST_WAIT_S
        for number in range(1, ATTEMPTS + 1):
            outcome = await self._sent(notice, rule, event, application)
            if is_success(outcome):
                return DELIVERED, number
            # Neither the address nor an answer's text: both may carry what is nobody's business.
            shown = outcome if isinstance(outcome, int) else type(outcome).__name__
            if not is_passing(outcome):
                logger.warning("the receiver of alert rule %s refused event %s: %s", rule.id, event.id, shown)
                return FAILED, number
            logger.info("the receiver of alert rule %s did not take event %s: %s", rule.id, event.id, shown)
            if number < ATTEMPTS:
                await self._sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311 - jitter, not a secret
                wait_s *= 2
        return PENDING, ATTEMPTS

    async def send_test(self, rule: AlertRule, application: Application) -> int | BaseException:
        """Send a message that is marked as a test, once; return the receiver's status, or what went wrong."""
        at = datetime.fromtimestamp(self.now_s(), timezone.utc)
        event = replace(next_event(rule, None, Transition.firing, rule.threshold, at), id=f"test-{token_hex(8)}")
        notice = trial_notice_of(rule, event, application)
        outcome = await self._sent(notice, rule, event, application)
        if rule.sends_by is Channel.pagerduty and is_success(outcome):
            await self._posted(rule, msgspec.json.encode(pagerduty_end(notice, rule.routing_key or "")), {})
        return outcome

    def now_s(self) -> int:
        """Return the time, whole seconds since the epoch."""
        return int(self._clock())

    async def _sent(
        self, notice: Notice, rule: AlertRule, event: AlertEvent, application: Application
    ) -> int | BaseException:
        """Send a notice once; return the receiver's status, or what went wrong."""
        if rule.sends_by is Channel.email:
            return await self._mailed(notice, rule)
        body, headers = self._request(notice, rule, event, application)
        return await self._posted(rule, body, headers)

    async def _mailed(self, notice: Notice, rule: AlertRule) -> int | BaseException:
        if not self._mailer.is_configured:
            # Another service over the same store may have a server, or this one with its next start.
            return NoMailServer("no SMTP server is configured")
        return await self._mailer.send(notice, recipients(rule.webhook_url or ""))

    async def _posted(self, rule: AlertRule, body: bytes, headers: dict[str, str]) -> int | BaseException:
        url = URL(rule.webhook_url or PAGERDUTY_URL)
        try:
            if not self._allow_private:
                check_host(url.host or "")
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
                response.close()
                return status
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError) as error:
            return error

    def _request(
        self, notice: Notice, rule: AlertRule, event: AlertEvent, application: Application
    ) -> tuple[bytes, dict[str, str]]:
        """Return the body of one attempt and the headers that go with it."""
        chat = CHAT.get(rule.sends_by or Channel.webhook)
        if chat is not None:
            return msgspec.json.encode(chat(notice)), {}
        if rule.sends_by is Channel.pagerduty:
            return msgspec.json.encode(pagerduty(notice, rule.routing_key or "")), {}
        link = link_of(self._public_url, rule, event)
        body = payload(rule, event, application, kind=notice.kind, url=link)
        timestamp = self.now_s()
        return body, {
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(rule.webhook_secret, event.id, timestamp, body),
        }
