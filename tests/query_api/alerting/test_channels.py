"""Alert messages in the forms of chats and PagerDuty, against receivers that take nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from apimetry.query_api.alerting.notices import notice_of
from apimetry.query_api.alerting.payloads import CHAT, pagerduty, slack
from apimetry.query_api.alerting.webhooks import Webhooks, webhook_session
from apimetry.store.accounts.records import Application, RequestLimits
from apimetry.store.alerts.channels import Channel, channel_of
from apimetry.store.alerts.records import Direction, Metric, Transition, checked_rule
from apimetry.store.errors import AccountInvalid
from tests.query_api.alerting.test_webhooks import EVENT, NOW, SHOP, rule_to
from tests.support.services.receivers import SERVICES, StrictReceiver

ROUTING_KEY = "R0" + "A" * 30
RESOLVED = replace(EVENT, kind=Transition.resolved, id="event2", sequence=2, value=0.5)
NASTY_NAMES = [
    "<!channel> & <https://evil.example|click>",
    "@everyone <@123> **bold** __x__ `code` ||spoiler||",
    "[link](https://evil.example) ~~gone~~ {{DATE(2017-02-14T06:08:00Z)}}",
    "&<>" * 66,
    "*_`" * 66,
    "é😀" * 100,
]


def rule_by(channel, url, **changes):
    key = ROUTING_KEY if channel == "pagerduty" else None
    return checked_rule(replace(rule_to(url), channel=Channel(channel), routing_key=key, **changes))


async def deliver(rule, event=EVENT, application=SHOP):
    async with webhook_session(allow_private=True) as session:
        return await Webhooks(session, allow_private=True, clock=NOW.timestamp).deliver(rule, event, application)


@pytest.mark.parametrize("channel", SERVICES)
@pytest.mark.parametrize("event", [EVENT, RESOLVED])
async def test_a_service_takes_the_messages_of_its_channel(channel, event):
    async with StrictReceiver(channel) as receiver:
        assert await deliver(rule_by(channel, receiver.url), event) == ("delivered", 1), receiver.complaints
    (body,) = receiver.bodies
    text = json.dumps(body)
    if (channel, event) != ("pagerduty", RESOLVED):
        for part in ("Errors", "Shop", "Error rate", "5 %"):
            assert part in text


@pytest.mark.parametrize("channel", SERVICES)
@pytest.mark.parametrize("name", NASTY_NAMES)
async def test_what_people_write_is_text_in_every_channel(channel, name):
    nasty = Application("shop", "o", name, 30, RequestLimits(), NOW)
    async with StrictReceiver(channel) as receiver:
        assert await deliver(rule_by(channel, receiver.url, name=name), application=nasty) == ("delivered", 1)
    assert receiver.complaints == []


@pytest.mark.parametrize("channel", SERVICES)
@pytest.mark.parametrize("metric", Metric)
async def test_every_metric_makes_a_message(channel, metric):
    percentile = 95 if metric is Metric.latency_percentile else None
    threshold = 0.0 if metric is Metric.no_data else 5.0
    async with StrictReceiver(channel) as receiver:
        rule = rule_by(channel, receiver.url, metric=metric, percentile=percentile, threshold=threshold)
        for event in (EVENT, RESOLVED):
            assert await deliver(rule, event) == ("delivered", 1), receiver.complaints


async def test_slack_shows_a_name_with_its_control_characters_as_text():
    notice = notice_of(replace(rule_to("https://hooks.slack.com/x"), name="a <b> & c"), EVENT, SHOP)
    assert slack(notice)["blocks"][0]["text"]["text"] == "Firing: a &lt;b&gt; &amp; c (Shop)"


async def test_an_incident_of_pagerduty_is_resolved_by_the_key_it_was_opened_with():
    async with StrictReceiver("pagerduty") as receiver:
        for event in (EVENT, RESOLVED):
            await deliver(rule_by("pagerduty", receiver.url), event)
    opened, closed = receiver.bodies
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == "apimetry/rule1"
    assert opened["payload"]["summary"].startswith("Firing: Errors (Shop)")


async def test_our_own_json_is_what_such_services_refuse():
    for channel in SERVICES:
        async with StrictReceiver(channel) as receiver:
            assert await deliver(rule_by("webhook", receiver.url)) == ("failed", 1)


def test_a_message_says_what_was_measured_and_what_is_allowed():
    rule = rule_to("https://hooks.example.com")
    notice = notice_of(rule, EVENT, SHOP)
    assert notice.title == "Firing: Errors (Shop)"
    assert notice.text == "Error rate 12.5 % over the last 5 min: above 5 %."
    assert notice_of(rule, RESOLVED, SHOP).text == "Error rate 0.5 % over the last 5 min: no longer above 5 %."
    silent = replace(rule, metric=Metric.no_data, threshold=0.0)
    assert notice_of(silent, replace(EVENT, value=0.0), SHOP).text == "No request came in the last 5 min."
    slow = replace(rule, metric=Metric.latency_percentile, percentile=95, direction=Direction.below)
    assert notice_of(slow, EVENT, SHOP).text == "Latency, percentile 95 12.5 ms over the last 5 min: below 5 ms."


@pytest.mark.parametrize(
    ("address", "channel"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", Channel.slack),
        ("https://HOOKS.slack.com./services/T0/B0/x", Channel.slack),
        ("https://hooks.slack-gov.com/services/T0/B0/x", Channel.slack),
        ("https://discord.com/api/webhooks/1/x", Channel.discord),
        ("https://discordapp.com/api/webhooks/1/x", Channel.discord),
        ("https://ptb.discord.com/api/webhooks/1/x", Channel.discord),
        ("https://acme.webhook.office.com/webhookb2/x", Channel.teams),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/x?sig=y", Channel.teams),
        ("https://x.environment.api.powerplatform.com:443/powerautomate/x", Channel.teams),
        ("https://events.pagerduty.com/v2/enqueue", Channel.pagerduty),
        ("https://events.eu.pagerduty.com/v2/enqueue", Channel.pagerduty),
        ("mailto:ops@example.com", Channel.email),
        ("https://hooks.example.com/slack", Channel.webhook),
        ("https://hooks.slack.com.example.com/", Channel.webhook),
        ("https://example.com/hooks.slack.com", Channel.webhook),
        ("https://notwebhook.office.com.example/", Channel.webhook),
        ("https://[::1/", Channel.webhook),
    ],
)
def test_an_address_tells_its_channel(address, channel):
    assert channel_of(address) is channel


GOOD = [
    {"webhook_url": None},
    {"webhook_url": "mailto:ops@example.com,dev%2Bx@example.com"},
    {"webhook_url": None, "channel": Channel.pagerduty, "routing_key": ROUTING_KEY},
    {"webhook_url": "https://events.eu.pagerduty.com/v2/enqueue", "routing_key": ROUTING_KEY},
    {"webhook_url": "https://mattermost.example.com/hooks/x", "channel": Channel.slack},
    {"webhook_url": "https://hooks.slack.com/x", "channel": Channel.webhook},
]


@pytest.mark.parametrize("changes", GOOD)
def test_a_rule_may_name_a_channel_that_its_address_fits(changes):
    checked_rule(replace(rule_to("https://hooks.example.com"), **changes))


BAD = [
    ({"webhook_url": None, "channel": Channel.slack}, "webhookUrl is missing: the channel slack"),
    ({"webhook_url": "mailto:ops@example.com", "channel": Channel.slack}, "webhookUrl must be an http"),
    ({"channel": Channel.email}, "webhookUrl of the channel email must be mailto:"),
    ({"webhook_url": "mailto:"}, "webhookUrl of the channel email"),
    ({"webhook_url": "mailto:ops"}, "webhookUrl of the channel email"),
    ({"webhook_url": "mailto:a@b.c%0d%0aBcc:x@y.z"}, "webhookUrl of the channel email"),
    ({"webhook_url": "mailto:a@b.c?subject=x"}, "webhookUrl of the channel email"),
    ({"webhook_url": "mailto:" + ",".join(["a@example.com"] * 11)}, "1 to 10 addresses"),
    ({"channel": Channel.pagerduty}, "routingKey belongs to the channel pagerduty, which needs it"),
    ({"webhook_url": "https://events.pagerduty.com/v2/enqueue"}, "routingKey"),
    ({"channel": Channel.pagerduty, "routing_key": "short"}, "routingKey must be the integration key"),
    ({"channel": Channel.pagerduty, "routing_key": "***"}, "routingKey must be the integration key"),
    ({"channel": Channel.slack, "routing_key": ROUTING_KEY}, "routingKey"),
    ({"webhook_url": None, "routing_key": ROUTING_KEY}, "routingKey"),
]


@pytest.mark.parametrize(("changes", "named"), BAD)
def test_a_channel_that_its_address_does_not_fit_is_refused_by_the_member(changes, named):
    with pytest.raises(AccountInvalid, match=named):
        checked_rule(replace(rule_to("https://hooks.example.com"), **changes))


def test_no_channel_is_left_without_a_form():
    assert {*CHAT, Channel.webhook, Channel.pagerduty, Channel.email} == set(Channel)
    assert ROUTING_KEY not in repr(rule_by("pagerduty", "https://example.com"))
    assert pagerduty(notice_of(rule_to("x:"), EVENT, SHOP), ROUTING_KEY)["routing_key"] == ROUTING_KEY
