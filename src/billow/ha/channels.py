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
from email.errors import InvalidHeaderDefect
from email.message import EmailMessage
from email.policy import SMTP as EMAIL
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
        setting = f"ha_{name}"
        _check_url(setting, url, ("http", "https"), "https://HOST/PATH")
        if token and (not token.isascii() or not token.isprintable() or " " in token):
            raise Invalid(
                f"{setting}_token has a space, a line end or a letter that no token has",
                fix="see how it is quoted, and whether its file ends with more than the token",
            )
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
        parts = _check_url("ha_mail_server", self.server, ("smtp", "smtps"), "smtp://HOST:PORT")
        if not unquote(f"{parts.username or ''}{parts.password or ''}").isascii():
            raise Invalid("the user or password in ha_mail_server is not ASCII, as SMTP's must be")
        _check_addresses("ha_mail_from", (self.sender,))
        _check_addresses("ha_mail_to", self.to)

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


def _check_url(setting: str, url: str, schemes: Sequence[str], example: str) -> SplitResult:
    """Return the parts of a URL. Raises Invalid, which tells no more of it than scheme and host."""
    try:
        parts = urlsplit(url)
        host, _ = str(parts.hostname or ""), parts.port
        host.encode("idna")
    except ValueError:  # the port, the host, or a bracket; what it says may hold a password
        raise Invalid(
            f"{setting} is no URL: its host or port cannot be", fix=f"use {example}"
        ) from None
    if parts.scheme not in schemes or not host or " " in host or not url.isprintable():
        shown = f": {parts.scheme}://{host!a:.80}" if host else ""
        raise Invalid(f"{setting} is no {' or '.join(schemes)} URL{shown}", fix=f"use {example}")
    return parts


def _check_addresses(setting: str, addresses: Sequence[str]) -> None:
    """Raise Invalid unless there are addresses to which mail can go."""
    if not addresses or not all(map(_is_address, addresses)):
        raise Invalid(
            f"{setting} needs an address, as billow@example.org",
            details=tuple(f"it has {each!a:.80}" for each in addresses),
        )


def _is_address(text: str) -> bool:
    try:
        header = EMAIL.header_factory("to", text)
    except (IndexError, ValueError):  # the parser's own, as for "ada@"
        return False
    wrong = any(isinstance(each, InvalidHeaderDefect) for each in header.defects)
    whole = [each.username and each.domain for each in header.addresses]
    return text.isprintable() and not wrong and bool(whole) and all(whole)


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
