# SPDX-License-Identifier: Apache-2.0
"""The ear as a process of its own: it hears, takes orders along, and begins anew when it dies."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from billow.act.clock import SystemClock
from billow.errors import Invalid, Unavailable
from billow.ha.ear import Ear, Hearing
from billow.ha.enrol import Enrolment
from billow.ha.event import Kind
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.view import VIEW_S
from billow.model.ha.wire import Frame
from tests.ha.ears import LIMIT_S, MANAGEMENT, Speaker, dialled, enrolled

CLOCK = SystemClock()


@pytest.fixture
def enrolment(tmp_path: Path) -> Enrolment:
    """Return who signs."""
    return Enrolment(tmp_path / "authority", "test", "c1", CLOCK)


@pytest.fixture
def ear(enrolment: Enrolment) -> Iterator[Ear]:
    """Return an ear in a process of its own."""
    places = dict.fromkeys(NETWORKS, ("127.0.0.1", 0))
    papers = enrolment.papers()
    hearing = Hearing(
        controller="c1", places=places, papers=papers, limit_s=LIMIT_S, first_s=1.0, answer_s=3.0
    )
    ear = Ear(hearing)
    ear.start()
    yield ear
    ear.stop()


@pytest.fixture
def speaker(ear: Ear, enrolment: Enrolment, tmp_path: Path) -> Iterator[Speaker]:
    """Return the line of an agent."""
    papers = enrolled(enrolment, "h1", tmp_path / "h1")
    with dialled(papers, ear.ports()[MANAGEMENT]) as line:
        speaker = Speaker(line, MANAGEMENT)
        speaker.say(Frame.HELLO, {"host": "h1", "boot": "b1"})
        yield speaker


def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until something holds; fail when it does not."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "it does not come to hold"
        time.sleep(0.01)


def test_what_is_heard_comes_out_of_the_process(ear: Ear, speaker: Speaker) -> None:
    ear.expect(["h1"])
    until(lambda: any(each.kind is Kind.CAME for each in ear.events()))
    speaker.say(Frame.BEAT, {"guests": ["i1"]})
    until(lambda: "h1" in ear.reports() and ear.reports()["h1"].guests == ("i1",))
    view = ear.view(CLOCK.now())
    assert view.observer == "c1"
    assert view.hosts == ("h1",)
    assert 0 <= CLOCK.now() - view.heard_at[0, 0] < 1
    until(lambda: any(each.kind is Kind.MISSED for each in ear.events()))
    view = ear.view(CLOCK.now())
    assert view.missed(view.at)[0, 0]


def test_acknowledgements_go_by_what_was_published(ear: Ear, speaker: Speaker) -> None:
    ear.expect(["h1"])
    until(lambda: bool(ear.view(CLOCK.now()).hosts))
    speaker.beat_for(0.2)
    ear.published(ear.view(CLOCK.now()))
    speaker.beat_for(0.4)
    assert speaker.hear(Frame.ACK).kind is Frame.ACK


@pytest.mark.anyio
async def test_orders_and_answers_pass_through(ear: Ear, speaker: Speaker) -> None:
    until(lambda: any(each.kind is Kind.CAME for each in ear.events()))

    def obey() -> None:
        order = speaker.hear(Frame.ORDER)
        speaker.say(Frame.ANSWER, {"id": order.body["id"], "ok": True})

    with ThreadPoolExecutor(1) as pool:
        obeyed = pool.submit(obey)
        assert (await ear.order("h1", MANAGEMENT, {"do": "look"}))["ok"]
        obeyed.result()
    with pytest.raises(Unavailable, match="no line"):
        await ear.order("h2", MANAGEMENT, {"do": "look"})


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_an_ear_that_dies_or_hangs_begins_anew_and_has_no_voice_meanwhile(
    ear: Ear, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billow.ha.ear._SILENT_S", 1.0)
    ear.expect(["h1"])
    until(lambda: ear.view(CLOCK.now()).hosts == ("h1",))
    first = ear.process_id
    os.kill(first, how)
    until(lambda: CLOCK.now() - ear.view(CLOCK.now()).at > 0.5)
    until(lambda: ear.process_id != first and CLOCK.now() - ear.view(CLOCK.now()).at < VIEW_S)
    until(lambda: any(each.kind is Kind.MISSED for each in ear.events()))  # it watches h1 again


def test_a_controller_that_computes_hears_as_well(ear: Ear, speaker: Speaker) -> None:
    ear.expect(["h1"])
    speaker.beat_for(0.3)
    over = threading.Event()
    computing = threading.Thread(target=_compute, args=(over,))
    computing.start()
    beating = threading.Thread(target=speaker.beat_for, args=(1.0,))
    beating.start()
    beating.join()
    over.set()
    computing.join()
    assert not [e for e in ear.events() if e.kind is Kind.MISSED and e.network is MANAGEMENT]


def test_an_ear_without_papers_says_so(tmp_path: Path) -> None:
    places = dict.fromkeys(NETWORKS, ("127.0.0.1", 0))
    ear = Ear(Hearing(controller="c1", places=places, papers=tmp_path))
    with pytest.raises(Unavailable, match="papers"):
        ear.start()


@pytest.mark.parametrize("lacking", NETWORKS)
def test_an_ear_without_an_address_for_each_network_says_which(
    lacking: Network, enrolment: Enrolment
) -> None:
    places = {each: ("127.0.0.1", 0) for each in NETWORKS if each is not lacking}
    ear = Ear(Hearing(controller="c1", places=places, papers=enrolment.papers()))
    with pytest.raises(Invalid, match=f"ha_{lacking}\n") as caught:
        ear.start()
    assert "the same ADDRESS:PORT" in caught.value.fix


def _compute(over: threading.Event) -> None:
    while not over.is_set():
        sum(range(10_000))
