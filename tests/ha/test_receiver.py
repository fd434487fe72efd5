# SPDX-License-Identifier: Apache-2.0
"""The controller's ear over real TLS on loopback: who is heard, who is missed, who is refused."""

import asyncio
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billow.errors import Unavailable
from billow.ha.event import Kind
from billow.ha.lines import proving
from billow.model.ha.evidence import NETWORKS, Hardware, Network
from billow.model.ha.wire import Frame, Message, encode
from tests.ha.ears import LIMIT_S, MANAGEMENT, Ear, Speaker, ear_in, enrolled

SYMPTOM = {"probe": "drive", "subject": "sda", "grade": 1, "text": "ill", "since": 1.0}


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """Return a controller's ear."""
    with ear_in(tmp_path) as ear:
        yield ear


def test_a_host_that_beats_is_heard_and_one_that_falls_silent_is_missed(ear: Ear) -> None:
    ear.receiver.expect(["h1", "h2"])
    speaker = ear.speaker("h1")
    speaker.beat_for(2 * LIMIT_S)
    assert Kind.MISSED not in ear.kinds("h1")
    ear.until(lambda: Kind.MISSED in ear.kinds("h1"))
    assert time.monotonic() - speaker.spoke_at >= LIMIT_S  # later where a machine doubts itself
    speaker.say(Frame.BEAT)
    ear.until(lambda: Kind.BACK in ear.kinds("h1"))


def test_a_host_that_was_dead_from_the_start_is_missed_too(ear: Ear) -> None:
    ear.receiver.expect(["h1"])
    ear.until(lambda: ear.kinds("h1").count(Kind.MISSED) == len(NETWORKS))


def test_every_fifth_beat_is_acknowledged_while_the_view_is_published(ear: Ear) -> None:
    ear.receiver.expect(["h1"])
    speaker = ear.speaker("h1")
    for _ in range(9):
        speaker.say(Frame.BEAT)
    with pytest.raises(TimeoutError):
        speaker.hear(Frame.ACK, 0.3)
    ear.publish()
    time.sleep(0.1)
    speaker.say(Frame.BEAT)
    assert speaker.hear(Frame.ACK).number == speaker.number
    for _ in range(5):
        speaker.say(Frame.BEAT)
    assert speaker.hear(Frame.ACK).number == speaker.number


def test_a_view_that_misses_a_host_everywhere_lets_nobody_acknowledge_it(ear: Ear) -> None:
    ear.receiver.expect(["h1"])
    speaker = ear.speaker("h1")
    ear.until(lambda: ear.kinds("h1").count(Kind.MISSED) == len(NETWORKS))
    ear.publish()
    for _ in range(10):
        speaker.say(Frame.BEAT)
    with pytest.raises(TimeoutError):
        speaker.hear(Frame.ACK, 0.3)
    speaker.beat_for(0.1)
    ear.publish()
    speaker.beat_for(0.3)
    assert speaker.hear(Frame.ACK).kind is Frame.ACK


def test_a_process_that_dies_is_told_at_once_and_its_host_is_not_missed(ear: Ear) -> None:
    ear.receiver.expect(["h1"])
    speaker = ear.speaker("h1")
    speaker.say(Frame.BEAT)
    linger = struct.pack("ii", 1, 0)
    speaker.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # as a kernel does: RST
    speaker.line.close()
    ear.until(lambda: Kind.DIED in ear.kinds("h1"))
    time.sleep(3 * LIMIT_S + 0.5)  # its kernel refuses connections all the while: it lives
    assert not [
        each for each in ear.seen if each.kind is Kind.MISSED and each.network is MANAGEMENT
    ]
    ear.speaker("h1")
    ear.until(lambda: ear.kinds("h1").count(Kind.CAME) == 2)


def test_a_kernel_that_answers_for_a_silent_agent_is_told_and_does_not_count_as_heard(
    ear: Ear,
) -> None:
    ear.receiver.expect(["h1"])
    lines = [ear.speaker("h1", network) for network in NETWORKS]
    for line in lines:
        line.say(Frame.BEAT)
    ear.until(lambda: ear.kinds("h1").count(Kind.MISSED) == len(NETWORKS))
    ear.until(lambda: ear.view().reports["h1"].answers)
    time.sleep(1)
    assert Kind.BACK not in ear.kinds("h1")
    assert ear.view().reports["h1"].answers
    for line in lines:
        line.say(Frame.BEAT)
    ear.until(lambda: not ear.view().reports["h1"].answers)


def test_an_agent_that_takes_its_leave_has_not_died(ear: Ear) -> None:
    speaker = ear.speaker("h1")
    speaker.say(Frame.BYE)
    speaker.line.close()
    ear.until(lambda: Kind.LEFT in ear.kinds("h1"))
    time.sleep(0.1)
    assert Kind.DIED not in ear.kinds("h1")


def test_what_an_agent_says_is_reported_and_an_agent_that_is_ill_has_no_clean_beats(
    ear: Ear,
) -> None:
    ear.receiver.expect(["h1"])
    lines = [ear.speaker("h1", network, lease_s=10.0) for network in NETWORKS]
    for _ in range(4):
        for line in lines:
            line.say(Frame.BEAT)
    ear.until(lambda: "h1" in ear.matrix.reports())
    ear.until(lambda: ear.matrix.reports()["h1"].clean_beats == 4)
    acked = {"c1": {"tenant": 0.4}}
    lines[0].say(Frame.BEAT, {"symptoms": [SYMPTOM], "guests": ["i1"], "acked": acked})
    ear.until(lambda: Kind.TOLD in ear.kinds("h1"))
    for line in lines:
        line.say(Frame.BEAT)
    time.sleep(0.15)
    report = ear.matrix.reports()["h1"]
    assert (report.lease_s, report.guests, report.clean_beats) == (10.0, ("i1",), 0)
    assert report.symptoms[0].grade is Hardware.PREDICTED
    assert report.acked == {"c1": {Network.TENANT: 0.4}}
    died = [{"instance": "i1", "at": 5.0, "text": "killed"}]
    for line in lines:
        line.say(Frame.BEAT, {"died": died})  # each line tells it, and again
    died.append({"instance": "i2", "at": 6.0, "text": "killed"})
    lines[0].say(Frame.BEAT, {"died": died})
    ear.until(lambda: ear.kinds("h1").count(Kind.ENDED) == 2)
    assert [each.text for each in ear.seen if each.kind is Kind.ENDED] == ["i1", "i2"]
    lines[0].say(Frame.GASP, {"text": "Kernel panic - not syncing"})
    ear.until(lambda: Kind.GASPED in ear.kinds("h1"))
    assert ear.view().reports["h1"].gasped
    ear.speaker("h1", boot="b2")
    ear.until(lambda: not ear.matrix.reports()["h1"].gasped)


@pytest.mark.anyio
async def test_an_order_is_answered_by_the_host_that_was_asked_alone(ear: Ear) -> None:
    speaker, other = ear.speaker("h1"), ear.speaker("h2")
    ear.until(lambda: Kind.CAME in ear.kinds("h2"))

    def obey() -> None:
        order = speaker.hear(Frame.ORDER)
        other.say(Frame.ANSWER, {"id": order.body["id"], "ok": False})
        time.sleep(0.1)
        speaker.say(Frame.ANSWER, {"id": order.body["id"], "ok": True, "gone": ["i1"]})

    with ThreadPoolExecutor(1) as pool:
        obeyed = pool.submit(obey)
        answer = await ear.order("h1", MANAGEMENT, {"do": "fence", "fence": 3})
        obeyed.result()
    assert answer["ok"] is True
    assert answer["gone"] == ["i1"]


@pytest.mark.anyio
async def test_an_order_without_a_line_or_an_answer_says_so(ear: Ear) -> None:
    ear.speaker("h1")
    with pytest.raises(Unavailable, match="no line on the tenant network"):
        await ear.order("h1", Network.TENANT, {"do": "look"})
    with pytest.raises(Unavailable, match="did not answer"):
        await ear.order("h1", MANAGEMENT, {"do": "look"})


def test_nobody_is_believed_without_papers_of_the_authority(ear: Ear, tmp_path: Path) -> None:
    with ear_in(tmp_path / "other") as other:
        theirs = enrolled(other.enrolment, "h1", tmp_path / "theirs")
        (theirs / "ca.crt").write_bytes((ear.enrolment.papers() / "ca.crt").read_bytes())
        assert _refused(ear, theirs)
    own = enrolled(ear.enrolment, "h1", tmp_path / "own")
    ear.receiver.revoke(ear.enrolment.revoke("h1"))
    assert _refused(ear, own)
    assert Kind.CAME not in ear.kinds("h1")


def test_a_certificate_is_believed_no_more_once_it_is_revoked(ear: Ear) -> None:
    speaker = ear.speaker("h1")
    ear.receiver.revoke(ear.enrolment.revoke("h1"))
    assert speaker.closed()


def test_an_agent_knows_a_controller_by_its_certificate(ear: Ear) -> None:
    line = ear.dial("h1")
    shown = line.getpeercert() or {}
    assert ("URI", "billow://controller/c1") in shown["subjectAltName"]


def test_a_host_speaks_for_itself_alone(ear: Ear) -> None:
    speaker = Speaker(ear.dial("h1"), MANAGEMENT)
    speaker.say(Frame.HELLO, {"host": "h2"})
    assert speaker.closed()
    assert not ear.kinds("h2")


def test_the_newer_of_two_lines_counts(ear: Ear) -> None:
    old, new = ear.speaker("h1"), ear.speaker("h1")
    assert old.closed()
    new.beat_for(0.1)
    assert Kind.DIED not in ear.kinds("h1")


@pytest.mark.parametrize("number", [1, 2])
def test_a_number_that_does_not_rise_ends_the_line(ear: Ear, number: int) -> None:
    speaker = ear.speaker("h1")
    speaker.say(Frame.BEAT)
    speaker.say(Frame.BEAT, number=number)
    assert speaker.closed()


def test_whoever_says_nothing_is_closed_after_a_while(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billow.ha.receiver._STRANGERS_S", 0.3)
    proved = Speaker(ear.dial("h1"), MANAGEMENT)
    plain = socket.create_connection(("127.0.0.1", ear.receiver.ports()[MANAGEMENT]), timeout=3)
    assert proved.closed()
    with plain:
        assert plain.recv(10) == b""


def test_an_ear_that_was_held_up_misses_nobody_for_it_and_says_so(ear: Ear) -> None:
    ear.receiver.expect(["h1"])
    speaker = ear.speaker("h1")
    speaker.beat_for(LIMIT_S)
    ear.receiver._errands.put(lambda: time.sleep(4 * LIMIT_S))
    silent = threading.Thread(target=speaker.beat_for, args=(6 * LIMIT_S,))
    silent.start()
    silent.join()
    assert not [
        each for each in ear.seen if each.kind is Kind.MISSED and each.network is MANAGEMENT
    ]
    ear.until(lambda: Kind.MISSED in ear.kinds("h1"))
    assert 0 < ear.view().woke_at < time.time()


def test_an_ear_that_is_held_up_judges_nobody_by_what_it_did_not_hear(ear: Ear) -> None:
    ear.receiver.expect(["h1"])
    speaker = ear.speaker("h1")
    speaker.beat_for(LIMIT_S)
    ear.receiver._errands.put(lambda: time.sleep(4 * LIMIT_S))
    time.sleep(3 * LIMIT_S)
    view = ear.view()
    assert not view.missed(view.at)[0, 0]
    assert time.time() - view.at > 2 * LIMIT_S


@settings(max_examples=40, deadline=None)
@given(data=st.binary(min_size=20, max_size=200))
def test_bad_bytes_cost_their_line_and_nothing_else(hardened: Ear, data: bytes) -> None:
    _throw(hardened, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["symptoms", "acked", "guests", "died", "boot", "lease_s", "grade", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(list(Frame)),
    body=st.dictionaries(
        st.sampled_from(["symptoms", "acked", "guests", "died", "boot", "lease_s", "host", "id"]),
        JSON,
        max_size=4,
    ),
)
def test_bad_bodies_cost_their_line_and_nothing_else(
    hardened: Ear, kind: Frame, body: dict[str, object]
) -> None:
    _throw(hardened, encode(Message(kind, MANAGEMENT, 2, 0.0, body)))


def test_a_body_of_a_thousand_brackets_costs_its_line_alone(hardened: Ear) -> None:
    body = b"[" * 60_000
    _throw(hardened, struct.pack("!BBHQd", Frame.BEAT, 0, len(body), 2, 0.0) + body)


@pytest.fixture(scope="module")
def hardened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ear]:
    """Return an ear that is thrown bad things at."""
    with ear_in(tmp_path_factory.mktemp("ear")) as ear:
        yield ear


def _throw(ear: Ear, data: bytes) -> None:
    """Say something bad on one line; another one must be heard all the while."""
    good, bad = ear.speaker("good", Network.STORAGE), ear.speaker("bad")
    bad.line.sendall(data)
    bad.line.close()
    beats = ear.matrix.beats[ear.matrix.row("good") * len(NETWORKS) + 2]
    good.say(Frame.BEAT)
    ear.until(lambda: bool(ear.matrix.beats[ear.matrix.row("good") * len(NETWORKS) + 2] > beats))
    assert ear.receiver._thread.is_alive()


def _refused(ear: Ear, papers: Path) -> bool:
    """Return whether a line with some papers is refused."""
    try:
        line = ear.dial("h1", papers=papers)
    except (ssl.SSLError, OSError):
        return True
    speaker = Speaker(line, MANAGEMENT)
    try:
        speaker.say(Frame.HELLO)
    except OSError:
        return True
    return speaker.closed()


def test_a_controller_takes_new_papers_without_losing_a_line(ear: Ear) -> None:
    speaker = ear.speaker("h1")
    os.unlink(ear.enrolment.papers() / "controller.crt")  # noqa: PTH108
    ear.receiver.prove(proving(ear.enrolment.papers()))
    ear.speaker("h2")
    assert not speaker.closed(0.2)


@pytest.mark.anyio
async def test_orders_of_many_go_out_at_once(ear: Ear) -> None:
    speakers = [ear.speaker(f"h{number}") for number in range(8)]

    def obey(speaker: Speaker) -> None:
        order = speaker.hear(Frame.ORDER)
        speaker.say(Frame.ANSWER, {"id": order.body["id"], "ok": True})

    with ThreadPoolExecutor(8) as pool:
        obeyed = [pool.submit(obey, each) for each in speakers]
        asked = (ear.order(f"h{each}", MANAGEMENT, {"do": "look"}) for each in range(8))
        assert all(answer["ok"] for answer in await asyncio.gather(*asked))
        for each in obeyed:
            each.result()


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_a_line_is_of_the_network_that_its_first_frame_names_where_networks_share_a_port(
    tmp_path: Path,
) -> None:
    with ear_in(tmp_path, port=free_port()) as ear:
        ear.receiver.expect(["h1"])
        lines = [ear.speaker("h1", network) for network in reversed(NETWORKS)]
        for line in lines:
            line.beat_for(0.1)
        ear.until(lambda: bool((ear.matrix.beats[: len(NETWORKS)] > 0).all()))
        assert not ear.missed(Network.STORAGE)
        lines[0].network = Network.TENANT
        lines[0].say(Frame.BEAT, {"guests": []})
        assert lines[0].closed(), "a line that stands does not change its network"


def test_a_line_of_a_network_that_is_not_heard_at_its_address_is_refused(ear: Ear) -> None:
    speaker = Speaker(ear.dial("h1", MANAGEMENT), Network.TENANT)
    speaker.say(Frame.HELLO, {"host": "h1"})
    assert speaker.closed()


def test_a_beat_before_the_greeting_is_nobodys(ear: Ear) -> None:
    before = ear.matrix.beats.copy()
    speaker = Speaker(ear.dial("h1"), MANAGEMENT)
    speaker.say(Frame.BEAT)
    assert speaker.closed()
    assert (ear.matrix.beats == before).all()
