# SPDX-License-Identifier: Apache-2.0
"""The ways by which alarms leave: a webhook, a CMDB, mail.

The CMDB's contract is in `docs/how-to/recover-hosts.md`. This module keeps nothing and tries once.
"""

import asyncio
import hashlib
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import httpx2

from billow.errors import Invalid, Refused, Unavailable
from billow.ha.alarms import Channel
from billow.model.document import Document
from billow.model.ha.alarm import Alarm
from billow.settings import Settings

TIMEOUT_S: Final = 10.0
_ALARM: Final = "billow-alarm"
_BUSY: Final = frozenset({408, 425, 429})
_KNOWN: Final = 409
"""The other side has it already."""


def open_channels(settings: Settings) -> Sequence[Channel]:
    """Return the channels that the settings name. Raises Invalid for one that cannot work."""
    hooks = (
        ("webhook", settings.ha_webhook, settings.ha_webhook_token),
        ("cmdb", settings.ha_cmdb, settings.ha_cmdb_token),
    )
    channels: list[Channel] = [Hook(name, url, token) for name, url, token in hooks if url]
    if settings.ha_mail_server:
        channels.append(Mail(settings.ha_mail_server, settings.ha_mail_from, settings.ha_mail_to))
    return channels


class Hook:
    """Alarms as JSON documents to a URL: a webhook, or a CMDB.

    Args:
        name: The channel's name: `webhook` or `cmdb`.
        url: Where they are posted.
        token: Sent as a bearer token; empty for none.
    """

    def __init__(self, name: str, url: str, token: str = "") -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise Invalid(f"{url!a:.80} is no http or https URL for the {name}")
        self._name = name
        self._url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.AsyncClient(timeout=TIMEOUT_S, headers=headers)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    async def send(self, alarm: Alarm) -> None:
        """Post an alarm; any 2xx, or 409 for a key that is known there, means taken."""
        headers = {"Idempotency-Key": alarm.key}
        try:
            answer = await self._http.post(self._url, json=alarm_document(alarm), headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            said = f"{type(error).__name__}: {error}"
            raise Unavailable(f"the {self._name} does not answer", (said,)) from error
        if answer.is_success or answer.status_code == _KNOWN:
            return
        kind = Unavailable if answer.is_server_error or answer.status_code in _BUSY else Refused
        raise kind(f"the {self._name} answered {answer.status_code}", (answer.text[:200],))

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._http.aclose()


def alarm_document(alarm: Alarm) -> Document:
    """Return an alarm as other systems get it."""
    return {
        "format": _ALARM,
        "version": 1,
        "key": alarm.key,
        "host": alarm.host,
        "incident": alarm.incident,
        "epoch": alarm.epoch,
        "severity": alarm.severity.value,
        "text": alarm.text,
        "at": datetime.fromtimestamp(alarm.at, UTC).isoformat(timespec="milliseconds"),
    }


@dataclass(frozen=True, slots=True)
class Mail:
    """Alarms as mails.

    Attributes:
        server: `smtp://HOST:PORT`, encrypted as soon as the server offers it, or `smtps://` from
            the first byte; with `USER:PASSWORD@` where it asks who sends, and then never in clear.
        sender, to: Addresses.
    """

    server: str
    sender: str
    to: Sequence[str]

    def __post_init__(self) -> None:
        parts = urlsplit(self.server)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise Invalid(
                "the mail server is not given as a URL", fix="use smtp://HOST:PORT or smtps://HOST"
            )
        if not self.sender or not self.to:
            raise Invalid("mail needs a sender and somebody to send to")

    @property
    def name(self) -> str:
        """The channel's name."""
        return "mail"

    async def send(self, alarm: Alarm) -> None:
        """Hand a mail over; its Message-ID is made from the alarm's key."""
        try:
            await asyncio.to_thread(self._hand_over, self._mail(alarm))
        except smtplib.SMTPRecipientsRefused as error:
            raise Refused("the mail server refuses who shall be told", (str(error),)) from error
        except (smtplib.SMTPException, OSError) as error:
            said = f"{type(error).__name__}: {error}"
            raise Unavailable("the mail server did not take it", (said,)) from error

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _mail(self, alarm: Alarm) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Subject"] = " ".join(f"[billow] {alarm.severity}: {alarm.text}".split())[:200]
        mail["Date"] = datetime.fromtimestamp(alarm.at, UTC)
        name = hashlib.sha256(alarm.key.encode("utf-8", "replace")).hexdigest()[:32]
        mail["Message-ID"] = f"<{name}@billow>"
        mail["Auto-Submitted"] = "auto-generated"
        lines = (f"{name}: {value}" for name, value in alarm_document(alarm).items())
        mail.set_content(alarm.text + "\n\n" + "\n".join(lines) + "\n")
        return mail

    def _hand_over(self, mail: EmailMessage) -> None:
        parts = urlsplit(self.server)
        with _connected(parts) as server:
            if parts.username:
                if not isinstance(server.sock, ssl.SSLSocket):
                    raise Unavailable("the mail server offers no encryption for the password")
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(mail)


def _connected(parts: SplitResult) -> smtplib.SMTP:
    """Return a line to a mail server, encrypted wherever it can be."""
    host, port, context = str(parts.hostname), parts.port or 0, ssl.create_default_context()
    if parts.scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=context)
    return server
