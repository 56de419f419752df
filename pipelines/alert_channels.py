"""Sends a message of plain words by mail and to a webhook, within a time that is set, and says what went wrong.

Nothing raises: whoever refreshes is told in one line, which never holds a password or the webhook's address. What stays
out: what is told to whom how often (alerting.py).
"""

from __future__ import annotations

import re
import smtplib
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

import httpx

from models.faults import Fault
from pipelines.alert_block import Alerts, Mail, Webhook

LONGEST = 3000  # letters of a text that a webhook is sent
STEPS = 4  # waits of one timeout each that a sending may take in all
# What names may consist of: no sign by which mail programs, Slack or Markdown make a link, a format or a mention.
_UNFIT = re.compile(r"[^\w /-]|(?<=/)/")


class _Refused(Exception):
    """What a server said no with, in words of ours."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: a line, and lines of plain words."""

    subject: str
    text: str
    at: datetime


def inert(text: str) -> str:
    """A name without every sign of which a reader's program could make anything."""
    return _UNFIT.sub("", text)


def channels(alerts: Alerts) -> tuple[str, ...]:
    """The names of the channels that are set."""
    return tuple(name for name in ("mail", "webhook") if getattr(alerts, name) is not None)


def send(alerts: Alerts, channel: str, message: Message, environ: Mapping[str, str]) -> str | None:
    """What went wrong, or None once the other side has taken the message."""
    sending: Callable[[], None]
    if channel == "mail":
        assert alerts.mail is not None
        sending = _Mailing(alerts.mail, message, alerts.timeout_seconds, environ)
        where = f"mail server {alerts.mail.server}:{alerts.mail.port}"
    else:
        assert alerts.webhook is not None
        sending = _Posting(alerts.webhook, message, alerts.timeout_seconds, environ)
        where = "webhook"
    wrong = _within(alerts.timeout_seconds * STEPS, sending)
    return f"an alert was not sent, {where}: {wrong}" if wrong else None


def _within(seconds: float, sending: Callable[[], None]) -> str | None:
    """A server that answers letter by letter keeps every single timeout, and would hold a refresh for ever."""
    wrong: list[str] = []

    def run() -> None:
        try:
            sending()
        except (Fault, _Refused) as error:
            wrong.append(str(error))
        except Exception as error:  # of whatever the libraries raise, only the kind is sure to hold no secret
            wrong.append(f"{_kind(error)}.")

    thread = threading.Thread(target=run, name="milepost alert", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return f"it did not take the message within {seconds:.0f} seconds."
    return wrong[0] if wrong else None


def _kind(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return error.strerror
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__}, code {error.smtp_code}"
    return type(error).__name__


@dataclass(frozen=True, slots=True)
class _Mailing:
    mail: Mail
    message: Message
    timeout: float
    environ: Mapping[str, str]

    def __call__(self) -> None:
        mail = self.mail
        password = mail.password(self.environ) if mail.user else ""
        context = ssl.create_default_context(cafile=str(mail.ca_file.expanduser()) if mail.ca_file else None)
        with self._connected(context) as server:
            if mail.security == "starttls":
                server.starttls(context=context)
            if mail.user:
                server.login(mail.user, password)
            if refused := server.send_message(self._written(), mail.sender, list(mail.to)):
                raise _Refused(f"it refused {len(refused)} of {len(mail.to)} receivers: mend alerts.mail.to.")

    def _connected(self, context: ssl.SSLContext) -> smtplib.SMTP:
        if self.mail.security == "tls":
            return smtplib.SMTP_SSL(self.mail.server, self.mail.port, timeout=self.timeout, context=context)
        return smtplib.SMTP(self.mail.server, self.mail.port, timeout=self.timeout)

    def _written(self) -> EmailMessage:
        letter = EmailMessage()
        letter["Subject"], letter["From"], letter["To"] = (
            self.message.subject,
            self.mail.sender,
            ", ".join(self.mail.to),
        )
        letter["Date"] = format_datetime(self.message.at)
        letter["Message-ID"] = make_msgid(domain=self.mail.sender.partition("@")[2])
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(self.message.text)
        return letter


@dataclass(frozen=True, slots=True)
class _Posting:
    webhook: Webhook
    message: Message
    timeout: float
    environ: Mapping[str, str]

    def __call__(self) -> None:
        text = f"{self.message.subject}\n{self.message.text}"[:LONGEST]
        body = {"text": text, "mrkdwn": False, "blocks": [_plain(text)]}
        url = self.webhook.url(self.environ)
        with httpx.stream("POST", url, json=body, timeout=self.timeout, follow_redirects=False) as answer:
            if not answer.is_success:
                raise _Refused(f"it answered {answer.status_code}.")


def _plain(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}
