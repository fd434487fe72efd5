# SPDX-License-Identifier: Apache-2.0
"""Alarms reach real HTTP and mail servers: once, later when they are away, never in the way."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from structlog.testing import capture_logs

from billow.errors import Invalid, Refused, Unavailable
from billow.ha.alarms import KEPT_S, Alarms, Channel
from billow.ha.channels import Hook, Mail, alarm_document, open_channels
from billow.model.ha.alarm import Alarm, Delivery
from billow.model.ha.response import Severity
from billow.settings import Settings
from billow.store import Store
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio
START = 1_790_000_000.0


class Receiver(ThreadingHTTPServer):
    """A web server that keeps what is posted to it and answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.status = 204
        self.delay_s = 0.0
        self.taken: list[tuple[dict[str, str], dict[str, object]]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/alarms"


class Post(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver

    def do_POST(self) -> None:
        """Keep it, wait as long as told, answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        threading.Event().wait(self.server.delay_s)
        self.server.taken.append((headers, json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Box:
    """A mail server's box."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.came = asyncio.Event()
        self.refuse = ""

    async def handle_RCPT(  # noqa: N802 (aiosmtpd names it)
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        """Take a recipient, or refuse as told."""
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (likewise)
        self, _: SMTP, __: Session, envelope: Envelope
    ) -> str:
        """Keep a mail."""
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        self.came.set()
        return "250 OK"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
async def box(anyio_backend: str) -> AsyncIterator[tuple[Box, str]]:
    """A mail server's box, and its URL."""
    kept, loop = Box(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(kept, loop=loop), "127.0.0.1", 0)
    yield kept, f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


@pytest.fixture
async def outbox(sqlite_store_url: str, anyio_backend: str) -> AsyncIterator[Store]:
    """An outbox with one alarm."""
    store = await Store.open(sqlite_store_url)
    await store.add_alarm(an_alarm())
    yield store
    await store.aclose()


def an_alarm(key: str = "i1/190", *, at: float = START) -> Alarm:
    """Return an alarm."""
    text = "h1: crashed, hung or isolated. Look at its console.\nX-Injected: yes"
    return Alarm(
        key=key,
        severity=Severity.CRITICAL,
        text=text,
        at=at,
        host="h1",
        incident="i1",
        epoch=3,
    )


def hook(receiver: Receiver, name: str = "cmdb") -> Hook:
    """Return the channel to a server."""
    return Hook(name, receiver.url, token="s3cret")


async def test_a_cmdb_gets_each_alarm_once_with_its_key(outbox: Store, receiver: Receiver) -> None:
    alarms = Alarms(outbox, [hook(receiver)], VirtualClock(START))
    for _ in range(3):
        await alarms.turn()
        await alarms.settle()
    ((headers, body),) = receiver.taken
    assert headers["idempotency-key"] == "i1/190"
    assert headers["authorization"] == "Bearer s3cret"
    assert body == alarm_document(an_alarm())
    assert (body["host"], body["incident"], body["epoch"]) == ("h1", "i1", 3)
    assert body["at"] == "2026-09-21T14:13:20.000+00:00"
    await alarms.aclose()


async def test_mail_is_readable_and_cannot_be_forged_by_a_text(
    outbox: Store, box: tuple[Box, str]
) -> None:
    kept, url = box
    alarms = Alarms(
        outbox, [Mail(url, "billow@example.org", ["ada@example.org"])], VirtualClock(START)
    )
    await alarms.turn()
    await alarms.settle()
    (mail,) = kept.mails
    assert mail["Subject"].startswith("[billow] critical: h1: crashed, hung or isolated.")
    assert mail["X-Injected"] is None
    assert mail["To"] == "ada@example.org"
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"incident: i1" in text
    again = Mail(url, "billow@example.org", ["ada@example.org"])
    await again.send(an_alarm())
    assert kept.mails[1]["Message-ID"] == mail["Message-ID"]
    await alarms.aclose()


@pytest.mark.parametrize("status", [500, 503, 429, 400, 401])
async def test_what_is_not_taken_comes_again_ever_later(
    outbox: Store, receiver: Receiver, status: int
) -> None:
    clock = VirtualClock(START)
    alarms = Alarms(outbox, [hook(receiver)], clock)
    receiver.status = status
    (later,) = await outbox.due("cmdb", now=START)
    for tries in range(1, 5):
        await alarms.turn()
        await alarms.settle()
        assert len(receiver.taken) == tries
        (later,) = await outbox.due("cmdb", now=1e12)
        assert later.tries == tries
        assert str(status) in later.error
        clock.advance(later.next_at - clock.now() - 0.1)
        await alarms.turn()
        await alarms.settle()
        assert len(receiver.taken) == tries
        clock.advance(0.1)
    assert later.next_at - START == pytest.approx(1 + 2 + 4 + 8, abs=0.01)
    receiver.status = 409  # it knows this key
    await alarms.turn()
    await alarms.settle()
    assert await outbox.due("cmdb", now=1e12) == []
    await alarms.aclose()


async def test_one_that_is_not_wanted_keeps_no_other_back(
    outbox: Store, receiver: Receiver
) -> None:
    await outbox.add_alarm(an_alarm("i1/held"))
    alarms = Alarms(outbox, [hook(receiver)], VirtualClock(START))
    receiver.status = 422
    await alarms.turn()
    await alarms.settle()
    assert [body["key"] for _, body in receiver.taken] == ["i1/190", "i1/held"]
    receiver.taken.clear()
    receiver.status = 503  # it is down: one try tells, the others wait for the next turn
    await outbox.add_alarm(an_alarm("a"))
    await outbox.add_alarm(an_alarm("b"))
    await alarms.turn()
    await alarms.settle()
    assert [body["key"] for _, body in receiver.taken] == ["a"]
    await alarms.aclose()


async def test_a_slow_channel_delays_neither_the_turn_nor_another(
    outbox: Store, receiver: Receiver, box: tuple[Box, str]
) -> None:
    kept, url = box
    receiver.delay_s = 1.0
    channels: list[Channel] = [hook(receiver), Mail(url, "billow@example.org", ["ada@example.org"])]
    alarms = Alarms(outbox, channels, VirtualClock(START))
    async with asyncio.timeout(0.5):
        await alarms.turn()
        await alarms.turn()  # the slow one is not asked twice at once
        await kept.came.wait()
    assert not receiver.taken
    await alarms.settle()
    assert len(receiver.taken) == 1
    await alarms.aclose()


async def test_only_the_writer_sends_and_only_what_is_news(
    outbox: Store, receiver: Receiver
) -> None:
    clock = VirtualClock(START + KEPT_S + 1)
    await outbox.add_alarm(an_alarm("new", at=clock.now()))
    idle = Alarms(outbox, [hook(receiver)], clock, leading=lambda: False)
    await idle.turn()
    await idle.settle()
    assert receiver.taken == []
    await idle.aclose()
    alarms = Alarms(outbox, [hook(receiver)], clock)
    await alarms.turn()
    await alarms.settle()
    assert [body["key"] for _, body in receiver.taken] == ["new"]
    await alarms.aclose()


async def test_who_does_not_answer_is_unavailable(box: tuple[Box, str]) -> None:
    kept, url = box
    nobody = Hook("webhook", "http://127.0.0.1:1/")
    with pytest.raises(Unavailable):
        await nobody.send(an_alarm())
    await nobody.aclose()
    with pytest.raises(Unavailable):
        await Mail("smtp://127.0.0.1:1", "a@example.org", ["b@example.org"]).send(an_alarm())
    secret = url.replace("//", "//ada:pw@")  # and no encryption
    with pytest.raises(Unavailable, match="mail server"):
        await Mail(secret, "a@example.org", ["b@example.org"]).send(an_alarm())
    kept.refuse = "550 nobody of this name"
    with pytest.raises(Refused):
        await Mail(url, "a@example.org", ["b@example.org"]).send(an_alarm())


class Broken:
    """A channel that fails as no channel should, with a password in the error."""

    name = "broken"
    tries = 0

    async def send(self, alarm: Alarm) -> None:
        """Fail."""
        self.tries += 1
        "pässword".encode("ascii")

    async def aclose(self) -> None:
        """Nothing is kept open."""


async def test_a_channel_that_breaks_is_asked_ever_more_seldom_and_alone(
    outbox: Store, receiver: Receiver
) -> None:
    clock, broken = VirtualClock(START), Broken()
    alarms = Alarms(outbox, [broken, hook(receiver)], clock)
    with capture_logs() as logs:
        for _ in range(40):  # 10 s
            await alarms.turn()
            await alarms.settle()
            clock.advance(0.25)
    assert broken.tries == 4  # after 0, 1, 3 and 7 s
    assert len(receiver.taken) == 1
    (later,) = await outbox.due("broken", now=1e12)
    assert (later.tries, later.error) == (4, "unexpected UnicodeEncodeError")
    assert len(logs) == 4
    assert "ssword" not in repr(logs)
    await alarms.aclose()


async def test_what_went_but_could_not_be_kept_is_not_sent_again(
    outbox: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = Alarms(outbox, [hook(receiver)], VirtualClock(START))

    async def fail(_: Delivery) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(outbox, "record_delivery", fail)
        for _ in range(3):
            await alarms.turn()
            await alarms.settle()
    assert len(await outbox.due("cmdb", now=1e12)) == 1
    await alarms.turn()
    await alarms.settle()
    assert await outbox.due("cmdb", now=1e12) == []
    assert len(receiver.taken) == 1
    await alarms.aclose()


@pytest.mark.parametrize("url", ["ftp://x", "x", "", "file:///etc/passwd"])
def test_a_wrong_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(Invalid):
        Hook("webhook", url)
    with pytest.raises(Invalid):
        Mail(url, "a@example.org", ["b@example.org"])


async def test_the_settings_name_the_channels() -> None:
    assert open_channels(Settings()) == []
    named = Settings(
        ha_webhook="http://127.0.0.1:1/hook",
        ha_cmdb="http://127.0.0.1:1/cmdb",
        ha_mail_server="smtp://127.0.0.1:1",
        ha_mail_from="billow@example.org",
        ha_mail_to=("ada@example.org",),
    )
    channels = open_channels(named)
    assert [each.name for each in channels] == ["webhook", "cmdb", "mail"]
    for channel in channels:
        await channel.aclose()
    with pytest.raises(Invalid):
        open_channels(Settings(ha_mail_server="smtp://127.0.0.1:1"))
