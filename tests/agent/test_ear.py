# SPDX-License-Identifier: Apache-2.0
"""The real agent speaks to the real ear of a controller, enrolled by the real office."""

import asyncio
import contextlib
import http.server
import json
import os
import signal
import stat
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from billow.agent.enrol import enrol
from billow.agent.options import CONTROLLERS
from billow.errors import Refused, Unavailable
from billow.ha.enrol import Signed
from billow.ha.event import Kind
from billow.model.ha.evidence import NETWORKS, Network
from tests.agent.ground import Host
from tests.agent.test_beats import workers
from tests.ha.ears import Ear, ear_in, enrolled


@pytest.fixture
def ear(host: Host, tmp_path: Path) -> Iterator[Ear]:
    """An ear in the host's namespace, which publishes views so that it may acknowledge."""
    with contextlib.ExitStack() as stack:
        ear = host.inside(lambda: stack.enter_context(ear_in(tmp_path / "ear")))
        over = threading.Event()

        def publish() -> None:
            while not over.wait(0.2):
                ear.publish()

        thread = threading.Thread(target=publish)
        thread.start()
        yield ear
        over.set()
        thread.join()


def agent_of(host: Host, ear: Ear) -> int:
    """Enrol the host and start its agent; return its process."""
    enrolled(ear.enrolment, "h1", host.folder)
    ear.receiver.expect(["h1"])
    ports = ear.receiver.ports()
    places = ",".join(f"127.0.0.1:{ports[network]}" for network in NETWORKS)
    return host.agent("--controller", f"c1={places}", "--beat", "0.05").pid


@pytest.fixture
def single(host: Host, tmp_path: Path) -> Iterator[Ear]:
    """An ear with one address and one port for all three networks, in the host's namespace."""
    with contextlib.ExitStack() as stack:
        yield host.inside(lambda: stack.enter_context(ear_in(tmp_path / "ear", port=8521)))


def running(ear: Ear) -> tuple[str, ...]:
    """Return the guests that the host says to run."""
    report = ear.matrix.snapshot().reports.get("h1")
    return report.guests if report else ()


def renewed(ear: Ear, old: x509.Certificate) -> Signed:
    """Sign the key of a certificate again, as the office does before it ends."""
    public = old.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    with ear.enrolment._held() as (authority, moment):
        return ear.enrolment._sign(authority, "h1", public, moment)


def test_it_is_heard_acknowledged_and_reported(host: Host, ear: Ear) -> None:
    host.guest("i1")
    agent_of(host, ear)
    ear.until(lambda: ear.kinds("h1").count(Kind.CAME) == 3, 20)
    ear.until(lambda: running(ear) == ("i1",), 20)

    def served() -> bool:
        acked = ear.matrix.snapshot().reports["h1"].acked.get("c1", {})
        return len(acked) == 3 and all(0 <= age < 1 for age in acked.values())

    ear.until(served, 20)
    report = ear.matrix.snapshot().reports["h1"]
    assert (report.lease_s, report.quarantined, report.gasped) == (0, True, False)


def test_one_address_serves_for_all_networks_on_either_side(host: Host, single: Ear) -> None:
    enrolled(single.enrolment, "h1", host.folder)
    single.receiver.expect(["h1"])
    assert set(single.receiver.ports().values()) == {8521}
    own = [word for each in NETWORKS for word in (f"--{each}", "127.0.0.1")]
    host.agent(*own, "--controller", "c1=127.0.0.1", "--beat", "0.05")
    single.until(lambda: single.kinds("h1").count(Kind.CAME) == 3, 20)
    came = {each.network for each in single.seen if each.kind is Kind.CAME}
    assert came == set(NETWORKS)
    single.until(lambda: bool((single.matrix.beats[:3] > 20).all()), 20)
    single.until(lambda: single.matrix.snapshot().reports["h1"].clean_beats > 10, 20)
    assert Kind.MISSED not in single.kinds("h1")
    for number, network in enumerate(NETWORKS):
        order = single.order("h1", network, {"id": f"o{number}", "do": "clean", "fence": 5})
        assert asyncio.run(order)["ok"]


def test_it_obeys_and_what_dies_is_told(host: Host, ear: Ear) -> None:
    first, second = host.guest("i1"), host.guest("i2")
    agent = agent_of(host, ear)
    ear.until(lambda: running(ear) == ("i1", "i2"), 20)
    first.kill()
    ear.until(lambda: Kind.ENDED in ear.kinds("h1"), 20)
    ear.until(lambda: running(ear) == ("i2",), 20)
    order = partial(ear.order, "h1", Network.STORAGE)
    answer = asyncio.run(order({"id": "o1", "do": "fence", "fence": 5}))
    assert (answer["ok"], answer["gone"]) == (True, ["i2"])
    assert second.wait(1) == -signal.SIGKILL
    late = asyncio.run(order({"id": "o2", "do": "clean", "fence": 4}))
    assert (late["ok"], "older fence" in late["text"]) == (False, True)
    assert asyncio.run(order({"id": "o3", "do": "clean", "fence": 5}))["ok"]
    ear.until(lambda: not ear.matrix.snapshot().reports["h1"].quarantined, 20)
    os.kill(workers(agent)["speaker"], signal.SIGKILL)
    ear.until(lambda: Kind.DIED in ear.kinds("h1"), 20)


def test_its_papers_are_renewed_over_its_line(host: Host, ear: Ear) -> None:
    agent_of(host, ear)
    ear.until(lambda: ear.kinds("h1").count(Kind.CAME) == 3, 20)
    old = x509.load_pem_x509_certificate((host.folder / "agent.crt").read_bytes())
    signed = renewed(ear, old)
    papers: dict[str, object] = {
        "id": "p1",
        "do": "papers",
        "certificate": signed.certificate,
        "ca": signed.ca,
    }
    answer = asyncio.run(ear.order("h1", Network.MANAGEMENT, papers))
    assert answer["ok"], answer
    assert (host.folder / "agent.crt").read_text() == signed.certificate
    ear.until(lambda: ear.kinds("h1").count(Kind.CAME) == 6, 20)
    strange = {**papers, "id": "p2", "certificate": _other(ear.enrolment.papers())}
    refused = asyncio.run(ear.order("h1", Network.MANAGEMENT, strange))
    assert not refused["ok"]
    assert (host.folder / "agent.crt").read_text() == signed.certificate


def _other(folder: Path) -> str:
    """Return a certificate that is not for the agent's key."""
    return (folder / "controller.crt").read_text()


class Office(http.server.BaseHTTPRequestHandler):
    """The API's route, with the real office behind it."""

    ear: Ear

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        assert self.path == "/v1/agents/enrol"
        try:
            signed = self.ear.enrolment.enrol(token, body["host"], body["csr"])
        except Exception as error:  # noqa: BLE001
            self.send_error(403, str(error).splitlines()[0])
            return
        answer = {"certificate": signed.certificate, "ca": signed.ca, "controllers": ["c1=a,b,c"]}
        self.send_response(201)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def test_a_host_is_enrolled_with_a_key_that_stays(host: Host, ear: Ear, tmp_path: Path) -> None:
    Office.ear = ear
    with http.server.HTTPServer(("127.0.0.1", 0), Office) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            _enrol(f"http://127.0.0.1:{server.server_port}", ear, tmp_path / "new")
        finally:
            server.shutdown()
            thread.join()
    with pytest.raises(Unavailable):
        enrol([f"http://127.0.0.1:{server.server_port}", "t", "--state", str(tmp_path / "none")])


def _enrol(url: str, ear: Ear, state: Path) -> None:
    token = ear.enrolment.token("h7")
    assert enrol([url, token, "--host", "h7", "--state", str(state)]) == 0
    assert stat.S_IMODE((state / "agent.key").stat().st_mode) == 0o600
    assert (state / CONTROLLERS).read_text() == "c1=a,b,c\n"
    shown = x509.load_pem_x509_certificate((state / "agent.crt").read_bytes())
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["billow://host/h7"]
    kept = (state / "agent.key").read_bytes()
    with pytest.raises(Refused):
        enrol([url, token, "--host", "h7", "--state", str(state)])
    assert (state / "agent.key").read_bytes() == kept, "a refusal costs no papers"
