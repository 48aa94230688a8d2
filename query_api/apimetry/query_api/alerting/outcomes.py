"""Say in a few words why a message did not arrive. Pure: never with the address or the receiver's text."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Sequence
from typing import Final

import aiohttp

from apimetry.query_api.alerting.addresses import AddressRefused
from apimetry.query_api.alerting.mail import NoMailServer
from apimetry.query_api.alerting.webhooks import causes_of

# The first that fits. Some of these classes are subclasses of later ones.
_WORDS: Final[Sequence[tuple[str, tuple[type[BaseException], ...]]]] = (
    ("private address", (AddressRefused,)),
    ("no mail server", (NoMailServer,)),
    ("timed out", (asyncio.TimeoutError, TimeoutError)),
    ("refused", (ConnectionRefusedError,)),
    ("name not found", (socket.gaierror, aiohttp.ClientConnectorDNSError)),
    ("TLS failed", (ssl.SSLError, aiohttp.ClientSSLError)),
    ("mail server failed", (smtplib.SMTPException,)),
)


def reason_of(outcome: int | BaseException) -> str:
    """Return why a message did not arrive: of a status or of what went wrong instead of one."""
    if isinstance(outcome, int):
        return f"status {outcome}"
    causes = causes_of(outcome)
    for words, classes in _WORDS:
        if any(isinstance(cause, classes) for cause in causes):
            return words
    return "connection failed"
