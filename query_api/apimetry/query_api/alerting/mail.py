"""Send alert events as e-mail, over the operator's SMTP server."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from apimetry.query_api.alerting.notices import Notice
from apimetry.query_api.settings import SmtpSettings

TIMEOUT_S = 10.0
_OK = 250
# RFC 4954: a password that is being changed comes right again.
_AUTHENTICATION_CODES = (534, 535)


class NoMailServer(OSError):
    """This service has no mail server in its settings."""


class Mailer:
    """Sends messages, each over a connection of its own; `tls` says whom to trust: by default the system's list."""

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._tls = tls

    @property
    def is_configured(self) -> bool:
        """Return whether there is a server to send by, and a sender."""
        return bool(self._settings.host and self._settings.sender)

    async def send(self, notice: Notice, recipients: list[str]) -> int | BaseException:
        """Return 250 when the server took the message for a recipient; else its code, or what went wrong."""
        message = message_of(notice, self._settings.sender, recipients)
        try:
            await asyncio.to_thread(self._send, message, recipients)
        except smtplib.SMTPRecipientsRefused as error:
            # Of several the one that may be taken later: the message is not lost for it.
            return min(code for code, _ in error.recipients.values())
        except smtplib.SMTPResponseException as error:
            return 450 if error.smtp_code in _AUTHENTICATION_CODES else error.smtp_code
        except (smtplib.SMTPException, OSError) as error:
            return error
        return _OK

    def _send(self, message: EmailMessage, recipients: list[str]) -> None:
        settings = self._settings
        tls = None if settings.security == "none" else self._tls or ssl.create_default_context()
        with self._connection(tls) as connection:
            if settings.security == "starttls":
                connection.starttls(context=tls)
            if settings.user:
                connection.login(settings.user, settings.password)
            connection.send_message(message, to_addrs=recipients)

    def _connection(self, tls: ssl.SSLContext | None) -> smtplib.SMTP:
        host, port = self._settings.host, self._settings.port
        # By itself it would ask the resolver for this machine's name, without a timeout.
        name = socket.gethostname()
        if self._settings.security == "tls":
            return smtplib.SMTP_SSL(host, port, name, timeout=TIMEOUT_S, context=tls)
        return smtplib.SMTP(host, port, name, timeout=TIMEOUT_S)


def may_take_later(outcome: int | BaseException) -> bool:
    """Return whether another attempt may go better (RFC 5321, section 4.2.1: codes of 400 to 499)."""
    return 400 <= outcome < 500 if isinstance(outcome, int) else not isinstance(outcome, ssl.SSLCertVerificationError)


def message_of(notice: Notice, sender: str, recipients: list[str]) -> EmailMessage:
    """Return the message: the same for each attempt, so that a receiver can tell."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = notice.title
    message["Date"] = format_datetime(notice.at)
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message["Message-ID"] = f"<{notice.event_id}@{domain}>"
    # All messages of a rule are one conversation.
    message["References"] = f"<{notice.rule_id}@{domain}>"
    # RFC 3834: nobody's absence note is to be sent back.
    message["Auto-Submitted"] = "auto-generated"
    facts = "\n".join(f"{name}: {value}" for name, value in notice.facts)
    message.set_content(f"{notice.text}\n\n{facts}\n")
    return message
