"""Alert messages by e-mail, against a real SMTP server on this machine."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from apimetry.query_api.alerting.mail import Mailer
from apimetry.query_api.alerting.webhooks import ATTEMPTS, Webhooks
from apimetry.query_api.settings import SmtpSettings
from apimetry.store.alerts.records import Transition, checked_rule
from tests.query_api.alerting.test_webhooks import EVENT, NOW, SHOP, rule_to

PASSWORD = "correct horse"
RESOLVED = replace(EVENT, kind=Transition.resolved, id="event2")


class Mailbox:
    """Takes every message, after the codes in `answers`, if there are any."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.envelopes = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - the server's name for it
        if self.answers:
            return f"{self.answers.pop(0)} not now"
        self.envelopes.append(envelope)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - likewise
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    @property
    def messages(self):
        return [message_from_bytes(envelope.original_content, policy=policy.default) for envelope in self.envelopes]


class FreePort(Controller):
    """A server on a port of its own choice."""

    def __init__(self, handler, tls=None, **options):
        self._tls = tls
        super().__init__(handler, hostname="127.0.0.1", port=0, **options)

    def _trigger_server(self):
        # The port is known only now; the server is real and needs no call to wake it.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture(scope="module")
def tls():
    """What the server proves itself with, and what trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return server, trusting


@contextmanager
def serving(handler, **options):
    server = FreePort(handler, **options)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def authenticated(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"alerts" and data.password == PASSWORD.encode(), handled=False)


def mail_rule(address="mailto:ops@example.com"):
    return checked_rule(rule_to(address))


async def deliver(mailer, event=EVENT, rule=None):
    async def sleep(_seconds):
        pass

    webhooks = Webhooks(None, allow_private=False, mailer=mailer, clock=NOW.timestamp, sleep=sleep)
    return await webhooks.deliver(rule or mail_rule(), event, SHOP)


def settings(port, **changes):
    return SmtpSettings(**{"host": "127.0.0.1", "port": port, "sender": "alerts@example.com", **changes})


@pytest.mark.parametrize("event", [EVENT, RESOLVED])
async def test_a_message_says_what_happened_and_is_marked_as_automatic(event):
    mailbox = Mailbox()
    with serving(mailbox) as port:
        mailer = Mailer(settings(port, security="none"))
        rule = mail_rule("mailto:ops@example.com,dev%2Bx@example.com")
        assert await deliver(mailer, event, rule) == ("delivered", 1)
    (message,) = mailbox.messages
    assert mailbox.envelopes[0].rcpt_tos == ["ops@example.com", "dev+x@example.com"]
    assert message["Subject"] == f"{event.kind.value.capitalize()}: Errors (Shop)"
    assert message["From"] == "alerts@example.com"
    assert message["To"] == "ops@example.com, dev+x@example.com"
    assert message["Message-ID"] == f"<{event.id}@example.com>"
    assert message["References"] == "<rule1@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == NOW
    assert "Error rate 12.5 %" in message.get_content()
    assert "Application: Shop" in message.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_password_travels_encrypted_alone(security, tls):
    server_tls, trusting = tls
    mailbox = Mailbox()
    options = {"authenticator": authenticated}
    if security == "tls":
        options |= {"ssl_context": server_tls, "auth_require_tls": False}
    else:
        options |= {"tls_context": server_tls, "require_starttls": True, "auth_required": True}
    with serving(mailbox, **options) as port:
        login = settings(port, user="alerts", password=PASSWORD, security=security)
        assert await deliver(Mailer(login, trusting)) == ("delivered", 1)
        # Whoever is not known to be the server gets neither password nor message.
        assert await deliver(Mailer(login)) == ("failed", 1)
        # A wrong password may be a changed one: it is tried again.
        assert await deliver(Mailer(replace(login, password="wrong"), trusting)) == ("pending", ATTEMPTS)
    assert len(mailbox.messages) == 1
    assert PASSWORD not in repr(login)


async def test_a_server_without_encryption_gets_nothing_where_some_is_asked_for():
    mailbox = Mailbox()
    with serving(mailbox) as port:
        state, _ = await deliver(Mailer(settings(port)))
    assert state != "delivered"
    assert mailbox.messages == []


@pytest.mark.parametrize(
    ("answers", "state", "attempts"),
    [
        ([451, 421], "delivered", 3),
        ([450] * 9, "pending", ATTEMPTS),
        ([554], "failed", 1),
    ],
)
async def test_a_code_of_the_four_hundreds_is_tried_again_and_nothing_else(answers, state, attempts):
    mailbox = Mailbox(*answers)
    with serving(mailbox) as port:
        assert await deliver(Mailer(settings(port, security="none"))) == (state, attempts)
    assert len({message["Message-ID"] for message in mailbox.messages}) == (state == "delivered")


async def test_one_bad_mailbox_among_others_loses_no_message():
    mailbox = Mailbox()
    with serving(mailbox) as port:
        mailer = Mailer(settings(port, security="none"))
        assert await deliver(mailer, rule=mail_rule("mailto:nobody@example.com,ops@example.com")) == ("delivered", 1)
        assert await deliver(mailer, rule=mail_rule("mailto:nobody@example.com")) == ("failed", 1)
    assert [envelope.rcpt_tos for envelope in mailbox.envelopes] == [["ops@example.com"]]


async def test_a_server_that_is_away_or_not_named_is_tried_again():
    with serving(Mailbox()) as port:
        pass
    assert await deliver(Mailer(settings(port, security="none"))) == ("pending", ATTEMPTS)
    assert await deliver(Mailer(SmtpSettings())) == ("pending", ATTEMPTS)


async def test_a_name_cannot_add_a_header_and_arrives_as_it_was_written():
    mailbox, name = Mailbox(), "é😀 <b> Bcc: x@y.z"
    with serving(mailbox) as port:
        rule = replace(mail_rule(), name=name)
        assert await deliver(Mailer(settings(port, security="none")), rule=rule) == ("delivered", 1)
    (message,) = mailbox.messages
    assert message["Subject"] == f"Firing: {name} (Shop)"
    assert message["Bcc"] is None
