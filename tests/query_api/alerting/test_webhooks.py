"""Webhooks against a real server on this machine: signed, tried again, and not let loose on private networks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import socket
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer

from apimetry.query_api.alerting.addresses import check_host, is_public
from apimetry.query_api.alerting.webhooks import ATTEMPTS, Webhooks, webhook_session, worth_another_try
from apimetry.store.accounts.accounts import Application, RequestLimits
from apimetry.store.alerts.records import AlertEvent, AlertRule, Metric, Transition, new_webhook_secret

NOW = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
SHOP = Application("shop", "o", "Shop", 30, RequestLimits(), NOW)
EVENT = AlertEvent("event1", "rule1", "o", "shop", 1, Transition.firing, NOW, NOW, 12.5, 5.0)


def rule_to(url):
    return AlertRule(
        "rule1",
        "o",
        "shop",
        "Errors",
        Metric.error_rate,
        NOW,
        new_webhook_secret(),
        threshold=5.0,
        webhook_url=str(url),
    )


class Receiver:
    """Answers with the given statuses, the last one for ever, and keeps what it got."""

    def __init__(self, *statuses, headers=None, body=b""):
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.body = body
        self.got = []
        self.arrived = asyncio.Event()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self.answer)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_):
        await self.server.close()

    async def answer(self, request):
        self.got.append((request.path, dict(request.headers), await request.read()))
        self.arrived.set()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers=self.headers, body=self.body)

    def url(self, path="/hook"):
        return self.server.make_url(path)


async def deliver(url, *, allow_private=True, resolver=None, waits=None):
    async def sleep(seconds):
        if waits is not None:
            waits.append(seconds)

    async with webhook_session(allow_private=allow_private, resolver=resolver) as session:
        webhooks = Webhooks(session, allow_private=allow_private, clock=NOW.timestamp, sleep=sleep)
        rule = rule_to(url)
        return (*await webhooks.deliver(rule, EVENT, SHOP), rule)


async def test_an_event_arrives_signed_as_standard_webhooks_says():
    async with Receiver(204) as receiver:
        state, attempts, rule = await deliver(receiver.url())
    assert (state, attempts) == ("delivered", 1)
    ((path, headers, body),) = receiver.got
    assert path == "/hook"
    assert headers["Content-Type"] == "application/json"
    identity, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    assert (identity, timestamp) == ("event1", str(int(NOW.timestamp())))
    key = base64.b64decode(rule.webhook_secret.removeprefix("whsec_"))
    expected = hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert json.loads(body) == {
        "type": "alert.firing",
        "timestamp": "2026-03-02T12:00:00Z",
        "data": {
            "kind": "firing",
            "id": "event1",
            "application": {"id": "shop", "name": "Shop"},
            "rule": {
                "id": "rule1",
                "name": "Errors",
                "metric": "error_rate",
                "percentile": None,
                "direction": "above",
                "threshold": 5.0,
                "windowS": 300,
            },
            "value": 12.5,
            "firedAt": "2026-03-02T12:00:00Z",
            "url": None,
        },
    }


@pytest.mark.parametrize(
    ("kind", "window_s", "start"), [(Transition.firing, 300, 1800), (Transition.resolved, 7200, 7200)]
)
async def test_a_message_leads_to_the_page_with_the_rules_filters_and_the_time_before_it_fired(kind, window_s, start):
    filters = {"include": ("route:/v1/café?x&y", "method:GET"), "exclude": ("status_code:404",)}
    event = replace(EVENT, kind=kind, at=NOW + timedelta(minutes=9))
    async with Receiver(204) as receiver:
        rule = replace(rule_to(receiver.url()), window_s=window_s, **filters)
        async with webhook_session(allow_private=True) as session:
            webhooks = Webhooks(session, allow_private=True, public_url="https://example.com/apimetry")
            assert await webhooks.deliver(rule, event, SHOP) == ("delivered", 1)
    page = urlsplit(json.loads(receiver.got[0][2])["data"]["url"])
    assert (page.scheme, page.netloc, page.path) == ("https", "example.com", "/apimetry/")
    assert parse_qsl(page.query) == [
        ("app", "shop"),
        ("start", str(int(NOW.timestamp()) - start)),
        ("end", str(int(NOW.timestamp()) + 540)),
        ("is", "route:/v1/café?x&y"),
        ("is", "method:GET"),
        ("not", "status_code:404"),
    ]


@pytest.mark.parametrize(
    ("statuses", "state", "attempts"),
    [
        ([200], "delivered", 1),
        ([503, 429, 408, 200], "delivered", 4),
        ([500], "pending", ATTEMPTS),
        ([400], "failed", 1),
        ([500, 410], "failed", 2),
        # Not followed, and not tried again.
        ([302], "failed", 1),
        ([307], "failed", 1),
    ],
)
async def test_what_may_pass_is_tried_again_and_nothing_else(statuses, state, attempts):
    waits = []
    async with Receiver(*statuses, headers={"Location": "/elsewhere"}) as receiver:
        assert (await deliver(receiver.url(), waits=waits))[:2] == (state, attempts)
    assert [path for path, _, _ in receiver.got] == ["/hook"] * attempts
    assert all(2**i / 2 <= wait <= 2**i for i, wait in enumerate(waits))
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1


async def test_of_an_answer_the_body_is_not_read():
    async with Receiver(200, body=b"x" * 50_000_000) as receiver:
        assert (await deliver(receiver.url()))[0] == "delivered"


async def test_a_connection_that_is_refused_is_tried_again():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert (await deliver(f"http://127.0.0.1:{held.getsockname()[1]}/"))[:2] == ("pending", ATTEMPTS)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[::ffff:127.0.0.1]", "[fe80::1]"],
)
async def test_a_private_address_gets_nothing(host):
    async with Receiver(200) as receiver:
        url = f"http://{host}:{receiver.server.port}/"
        assert (await deliver(url, allow_private=False))[:2] == ("failed", 1)
    assert receiver.got == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001", "0177.0.0.1"])
async def test_a_private_address_in_disguise_gets_nothing(host):
    async with Receiver(200) as receiver:
        url = f"http://{host}:{receiver.server.port}/"
        assert (await deliver(url, allow_private=False))[0] != "delivered"
    assert receiver.got == []


class Rebinding(AbstractResolver):
    """A name that has other addresses each time it is asked, or none."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if not addresses:
            raise OSError("no such name")
        return [
            {"hostname": host, "host": a, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for a in addresses
        ]

    async def close(self):
        pass


async def test_a_name_with_a_private_address_among_others_gets_nothing():
    async with Receiver(200) as receiver:
        resolver = Rebinding(["93.184.216.34", "127.0.0.1"])
        url = f"http://hooks.example.com:{receiver.server.port}/"
        assert (await deliver(url, allow_private=False, resolver=resolver))[:2] == ("failed", 1)
    assert receiver.got == []


async def test_a_name_is_resolved_once_for_each_connection_and_refused_when_it_turns_private():
    async with Receiver(200) as receiver:
        resolver = Rebinding([], ["127.0.0.1"])
        url = f"http://hooks.example.com:{receiver.server.port}/"
        state, attempts, _ = await deliver(url, allow_private=False, resolver=resolver)
    assert (state, resolver.asked) == ("failed", attempts)
    assert receiver.got == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fd00::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b:1::7f00:1", False),
        ("::127.0.0.1", False),
        ("2001:0:53aa:64c::1", False),
        ("nonsense", False),
        # Clouds' own services: Azure, Oracle, Alibaba, AWS (containers, IPv6), Google.
        ("168.63.129.16", False),
        ("168.63.129.17", True),
        ("192.0.0.192", False),
        ("100.100.100.200", False),
        ("169.254.170.2", False),
        ("fd00:ec2::254", False),
        ("fd20:ce::254", False),
        # Special-purpose addresses of IPv4, also those that Python counts as global.
        ("0.1.2.3", False),
        ("192.0.0.1", False),
        ("192.0.0.9", False),
        ("192.0.0.170", False),
        ("192.0.2.1", False),
        ("192.31.196.1", False),
        ("192.52.193.1", False),
        ("192.88.99.1", False),
        ("192.88.100.1", True),
        ("192.175.48.1", False),
        ("198.19.0.1", False),
        ("198.51.100.1", False),
        ("203.0.113.1", False),
        ("240.0.0.1", False),
        # Those of IPv6, and what is given out to nobody.
        ("3fff::1", False),
        ("3fff:fff:ffff::1", False),
        ("3fff:1000::1", True),
        ("2001:1::1", False),
        ("2001:2::1", False),
        ("2001:4:112::1", False),
        ("2001:20::1", False),
        ("2001:30::1", False),
        ("2001:200::1", True),
        ("2001:db8::1", False),
        ("2620:4f:8000::1", False),
        ("100::1", False),
        ("100:0:0:1::1", False),
        ("5f00::1", False),
        ("4000::1", False),
        # An IPv4 address inside: mapped, compatible, translated, 6to4, NAT64, ISATAP.
        ("::ffff:8.8.8.8", True),
        ("::ffff:168.63.129.16", False),
        ("::8.8.8.8", False),
        ("::ffff:0:127.0.0.1", False),
        ("2002:808:808::", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b::a83f:8110", False),
        ("2606:4700::5efe:7f00:1", False),
        ("2606:4700::200:5efe:a00:1", False),
        ("2606:4700::5efe:808:808", False),
        ("2606:4700::1:5efe:808:808", True),
        ("fe80::5efe:a00:1", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address, public):
    assert is_public(address) is public


async def test_neither_secret_nor_address_is_logged(caplog):
    caplog.set_level(logging.DEBUG, "apimetry")
    async with Receiver(500, 400) as receiver:
        _, _, rule = await deliver(receiver.url("/hook?token=hidden"))
    # The receiver of this test stands in for somebody else's server and writes an access log of its own.
    log = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("apimetry"))
    assert "rule1" in log
    for hidden in (rule.webhook_secret, "hidden", str(receiver.server.port)):
        assert hidden not in log
    assert rule.webhook_secret not in repr(rule)


@pytest.mark.parametrize("outcome", [aiohttp.ServerDisconnectedError(), TimeoutError(), OSError()])
def test_a_broken_connection_is_worth_another_try(outcome):
    assert worth_another_try(outcome)


@pytest.mark.parametrize(
    "host", ["0177.0.0.1", "127.1", "2130706433", "0x7f.1", "0X7F000001", "127.0.0.1.", "1.2.3.08"]
)
async def test_an_address_in_another_form_is_refused_whatever_it_stands_for(host):
    assert (await deliver(f"http://{host}:1/", allow_private=False))[:2] == ("failed", 1)


@pytest.mark.parametrize("host", ["hooks.example.com", "1.example", "a1", "8.8.8.8", "2606:4700::1111"])
def test_names_and_public_addresses_pass(host):
    check_host(host)
