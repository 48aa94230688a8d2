"""A test message arrives where a rule's messages go, or the answer says in a few words why it did not."""

from __future__ import annotations

import asyncio
import json
import smtplib
import socket
import ssl

import aiohttp
import pytest

from apimetry.query_api.alerting.addresses import AddressRefused
from apimetry.query_api.alerting.mail import NoMailServer
from apimetry.query_api.alerting.outcomes import reason_of
from apimetry.query_api.alerting.trials import TEST_INTERVAL_S
from apimetry.query_api.alerting.webhooks import sign
from apimetry.query_api.settings import QuerySettings, SmtpSettings
from apimetry.store.alerts.alerts import Alerts
from apimetry.store.alerts.channels import Channel
from tests.query_api.alerting.test_evaluator import SECRET, rule_of
from tests.query_api.alerting.test_mail import FreePort, Mailbox
from tests.query_api.alerting.test_webhooks import Receiver
from tests.support.services.query_service import assert_error, running_query_service
from tests.support.services.receivers import SERVICES, StrictReceiver

NOW = 1_700_000_000


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def tested(embedded_store, clock):
    """The service, which may send to this machine."""
    settings = QuerySettings(evaluate_alerts=False, allow_private_webhooks=True, public_url="https://example.com")
    async with running_query_service(embedded_store, settings, clock=clock) as running:
        yield running


def made(service, **changes):
    rule = rule_of(service.organization_id, **changes)
    Alerts(service.accounts.store).create(rule)
    return f"/api/alerts/{rule.id}/test"


async def answer_of(service, path):
    response = await service.request("POST", path)
    assert response.status == 200, await response.text()
    answer = await response.json()
    ms = answer.pop("ms")
    assert isinstance(ms, int)
    assert ms >= 0
    return answer


async def test_a_receiver_gets_one_message_that_says_it_is_a_test(tested):
    async with Receiver(202) as receiver:
        path = made(tested, webhook_url=str(receiver.url()), include=("route:/a",))
        assert await answer_of(tested, path) == {"delivered": True, "status": 202}
    ((_, headers, body),) = receiver.got
    timestamp, identity = headers["webhook-timestamp"], headers["webhook-id"]
    assert headers["webhook-signature"] == sign(SECRET, identity, int(timestamp), body)
    message = json.loads(body)
    assert (message["type"], message["data"]["kind"], message["data"]["id"]) == ("alert.test", "test", identity)
    assert message["data"]["rule"]["name"] == "Errors"
    assert message["data"]["url"].startswith("https://example.com/?app=shop&start=")
    assert (await tested.answer("/v1/alert-events"))["events"] == []


async def test_a_receiver_that_refuses_is_asked_once(tested):
    async with Receiver(503) as receiver:
        path = made(tested, webhook_url=str(receiver.url()))
        assert await answer_of(tested, path) == {"delivered": False, "status": 503, "error": "status 503"}
        assert len(receiver.got) == 1


async def test_a_rule_is_tested_once_in_ten_seconds(tested, clock):
    first, second = made(tested, id="first"), made(tested, id="second")
    nobody = {"delivered": False, "status": None, "error": "no address"}
    assert await answer_of(tested, first) == nobody
    clock.now += TEST_INTERVAL_S - 1
    response = await tested.request("POST", first)
    await assert_error(response, 429, "A rule is tested once in 10 s")
    assert response.headers["Retry-After"] == "1"
    assert await answer_of(tested, second) == nobody
    clock.now += 1
    assert await answer_of(tested, first) == nobody


@pytest.mark.parametrize("channel", SERVICES)
async def test_every_channel_has_a_form_for_a_test(tested, channel):
    async with StrictReceiver(channel) as receiver:
        key = "R0" + "A" * 30 if channel == "pagerduty" else None
        path = made(tested, webhook_url=receiver.url, channel=Channel(channel), routing_key=key)
        assert (await answer_of(tested, path))["delivered"], receiver.complaints
    text = json.dumps(receiver.bodies[0])
    assert "Test: Errors (Shop)" in text
    assert "the rule has not fired" in text


async def test_the_incident_of_a_test_is_of_its_own_and_resolved_at_once(tested):
    async with StrictReceiver("pagerduty") as receiver:
        await answer_of(
            tested, made(tested, webhook_url=receiver.url, channel=Channel.pagerduty, routing_key="R0" + "A" * 30)
        )
    opened, closed = receiver.bodies
    assert (opened["event_action"], opened["payload"]["severity"]) == ("trigger", "info")
    assert closed["event_action"] == "resolve"
    assert opened["dedup_key"] == closed["dedup_key"] == "apimetry/rule1/test"


async def test_a_test_goes_by_mail_too(embedded_store):
    mailbox = Mailbox()
    server = FreePort(mailbox)
    server.start()
    try:
        smtp = SmtpSettings("127.0.0.1", server.port, sender="alerts@example.com", security="none")
        settings = QuerySettings(evaluate_alerts=False, smtp=smtp)
        async with running_query_service(embedded_store, settings) as service:
            path = made(service, webhook_url="mailto:ops@example.com")
            assert await answer_of(service, path) == {"delivered": True, "status": 250}
    finally:
        server.stop()
    (message,) = mailbox.messages
    assert message["Subject"] == "Test: Errors (Shop)"


async def test_what_this_service_may_not_do_is_said(embedded_service):
    private = made(embedded_service, id="private", webhook_url="http://127.0.0.1:9/hook")
    mail = made(embedded_service, id="mail", webhook_url="mailto:ops@example.com")
    for path, error in [(private, "private address"), (mail, "no mail server")]:
        assert await answer_of(embedded_service, path) == {"delivered": False, "status": None, "error": error}


async def test_a_connection_that_is_refused_is_said(tested):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        path = made(tested, webhook_url=f"http://127.0.0.1:{held.getsockname()[1]}/")
        assert await answer_of(tested, path) == {"delivered": False, "status": None, "error": "refused"}


async def test_another_organizations_rule_and_no_rule_are_a_404(tested):
    foreign = rule_of(tested.their_organization_id, id="theirs", application_id="theirs")
    Alerts(tested.accounts.store).create(foreign)
    for name in ("theirs", "nobody"):
        await assert_error(await tested.request("POST", f"/api/alerts/{name}/test"), 404, name)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (410, "status 410"),
        (AddressRefused(), "private address"),
        (NoMailServer(), "no mail server"),
        (asyncio.TimeoutError(), "timed out"),
        (TimeoutError(), "timed out"),
        (aiohttp.ServerTimeoutError(), "timed out"),
        (ConnectionRefusedError(), "refused"),
        (socket.gaierror(), "name not found"),
        (ssl.SSLError(), "TLS failed"),
        (smtplib.SMTPServerDisconnected(), "mail server failed"),
        (aiohttp.ServerDisconnectedError(), "connection failed"),
    ],
)
def test_a_reason_is_a_few_words_without_an_address(outcome, reason):
    assert reason_of(outcome) == reason
