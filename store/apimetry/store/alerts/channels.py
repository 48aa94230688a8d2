"""Choose the channel of a rule's messages by the rule's address, and check the address; pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final
from urllib.parse import unquote, urlsplit

from apimetry.store.errors import AccountInvalid

MAX_ADDRESS: Final = 2000
MAX_RECIPIENTS: Final = 10
PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
ROUTING_KEY_PATTERN: Final = "^[A-Za-z0-9]{32}$"

_ROUTING_KEY = re.compile(ROUTING_KEY_PATTERN)
_MAILTO: Final = "mailto:"
# The part of RFC 5322 that mail servers on the internet use, without characters that could end a header.
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.?[A-Za-z0-9])*")
_MAX_EMAIL: Final = 254


class Channel(str, Enum):
    """The receiver of a rule's messages, which determines their form."""

    webhook = "webhook"
    slack = "slack"
    teams = "teams"
    discord = "discord"
    pagerduty = "pagerduty"
    email = "email"


_BY_HOST: Final = {
    "hooks.slack.com": Channel.slack,
    "hooks.slack-gov.com": Channel.slack,
    "discord.com": Channel.discord,
    "discordapp.com": Channel.discord,
    "events.pagerduty.com": Channel.pagerduty,
    "events.eu.pagerduty.com": Channel.pagerduty,
}
# Connectors of Office 365, and workflows of Power Automate, which replace the connectors.
_BY_DOMAIN: Final = {
    "webhook.office.com": Channel.teams,
    "logic.azure.com": Channel.teams,
    "api.powerplatform.com": Channel.teams,
    "discord.com": Channel.discord,
}


def channel_of(address: str) -> Channel:
    """Return the channel of an address: `webhook`, our own signed JSON, where no other channel matches."""
    if address.lower().startswith(_MAILTO):
        return Channel.email
    try:
        host = (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return Channel.webhook
    if host in _BY_HOST:
        return _BY_HOST[host]
    channels = (channel for domain, channel in _BY_DOMAIN.items() if host.endswith(f".{domain}"))
    return next(channels, Channel.webhook)


def recipients(address: str) -> list[str]:
    """Return the e-mail addresses of `mailto:one@example.com,two@example.com`."""
    return [unquote(recipient).strip() for recipient in address[len(_MAILTO) :].split(",")]


def check_address(channel: Channel, address: str | None, routing_key: str | None) -> None:
    """Raise AccountInvalid, which names the JSON member, where the address or the key does not fit the channel."""
    if (routing_key is not None) is not (channel is Channel.pagerduty):
        raise AccountInvalid("routingKey belongs to the channel pagerduty, which needs it, and only to it")
    if routing_key is not None and not _ROUTING_KEY.fullmatch(routing_key):
        raise AccountInvalid("routingKey must be the integration key of PagerDuty: 32 letters and digits")
    if address is None:
        if channel is not Channel.pagerduty:
            raise AccountInvalid(f"webhookUrl is missing: the channel {channel.value} needs one")
    elif channel is Channel.email:
        _check_mailto(address)
    else:
        _check_url(address, channel)


def _check_mailto(address: str) -> None:
    emails = recipients(address) if address.lower().startswith(_MAILTO) else []
    is_good = all(_EMAIL.fullmatch(email) and len(email) <= _MAX_EMAIL for email in emails)
    if not is_good or not 1 <= len(emails) <= MAX_RECIPIENTS or len(address) > MAX_ADDRESS:
        raise AccountInvalid(
            "webhookUrl of the channel email must be mailto: with"
            f" 1 to {MAX_RECIPIENTS} addresses, separated by commas: mailto:ops@example.com"
        )


def _check_url(url: str, channel: Channel) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or len(url) > MAX_ADDRESS or not url.isascii() or not url.isprintable() or " " in url:
        other = ", or mailto: for e-mail" if channel is Channel.webhook else ""
        raise AccountInvalid(
            f"webhookUrl must be an http:// or https:// address of {MAX_ADDRESS} ASCII characters at most{other}"
        )
