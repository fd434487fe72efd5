# SPDX-License-Identifier: Apache-2.0
"""Papers of agents: one token, one host, one time; renewed before they end; revoked for good."""

import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from billow.act.authority import PAPER_LASTS, secret
from billow.errors import Denied, Invalid, Unavailable
from billow.ha.enrol import TOKEN_S, Enrolment, Signed
from billow.ha.renew import Renewing
from billow.model.ha.evidence import Network
from tests.ha.ears import requested

NOW = 1_800_000_000.0


class Still:
    """A clock that stands."""

    def __init__(self, now: float = NOW) -> None:
        self.at = now

    def now(self) -> float:
        """Return where it stands."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Go on."""
        self.at += seconds


@pytest.fixture
def clock() -> Still:
    """Return a clock that stands."""
    return Still()


@pytest.fixture
def enrolment(tmp_path: Path, clock: Still) -> Enrolment:
    """Return who signs."""
    return Enrolment(tmp_path / "agents", "test", "c1", clock)


def enrol(enrolment: Enrolment, host: str) -> tuple[ec.EllipticCurvePrivateKey, Signed]:
    """Enrol a host; return its key and its papers."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, enrolment.enrol(enrolment.token(host), host, requested(key))


def shown_by(signed: Signed) -> x509.Certificate:
    """Return a certificate."""
    return x509.load_pem_x509_certificate(signed.certificate.encode())


def test_a_token_enrols_its_host_once(enrolment: Enrolment) -> None:
    key, token = ec.generate_private_key(ec.SECP256R1()), enrolment.token("h1")
    signed = enrolment.enrol(token, "h1", requested(key))
    names = shown_by(signed).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["billow://host/h1"]
    assert shown_by(signed).public_key() == key.public_key()
    assert enrolment.hosts() == {"h1"}
    with pytest.raises(Denied):
        enrolment.enrol(token, "h1", requested(key))


@pytest.mark.parametrize("host", ["h2", "H1", "h1 "])
def test_a_token_enrols_no_other_host_and_stays_good(enrolment: Enrolment, host: str) -> None:
    key, token = ec.generate_private_key(ec.SECP256R1()), enrolment.token("h1")
    with pytest.raises(Denied):
        enrolment.enrol(token, host, requested(key))
    assert enrolment.enrol(token, "h1", requested(key)).certificate


def test_a_token_ends(enrolment: Enrolment, clock: Still) -> None:
    token = enrolment.token("h1")
    clock.at += TOKEN_S + 1
    with pytest.raises(Denied):
        enrolment.enrol(token, "h1", requested(ec.generate_private_key(ec.SECP256R1())))


@given(token=st.text(max_size=50))
def test_what_is_no_token_enrols_nobody(
    tmp_path_factory: pytest.TempPathFactory, token: str
) -> None:
    enrolment = Enrolment(tmp_path_factory.getbasetemp() / "hostile", "test", "c1", Still())
    with pytest.raises((Denied, Invalid)):
        enrolment.enrol(token, "h1", requested(ec.generate_private_key(ec.SECP256R1())))


@pytest.mark.parametrize("host", ["", "../h1", "h/1", "h" * 64, "hö1", ".h1", "h1\n"])
def test_a_name_that_cannot_stand_in_a_certificate_gets_no_token(
    enrolment: Enrolment, host: str
) -> None:
    with pytest.raises(Invalid):
        enrolment.token(host)


def test_a_request_must_prove_its_key(enrolment: Enrolment) -> None:
    token = enrolment.token("h1")
    good = requested(ec.generate_private_key(ec.SECP256R1()))
    weak = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    key = rsa.generate_private_key(65537, 2048)
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    other = weak.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    broken = good.replace(good[100:104], "AAAA")
    for bad in ("", "x", broken, other, good + "x" * 20_000):
        with pytest.raises(Invalid):
            enrolment.enrol(token, "h1", bad)
    assert enrolment.enrol(token, "h1", good).certificate


def test_a_controller_gets_new_papers_before_its_own_end(
    enrolment: Enrolment, clock: Still
) -> None:
    first = (enrolment.papers() / "controller.crt").read_bytes()
    assert (enrolment.papers() / "controller.crt").read_bytes() == first
    clock.at += (PAPER_LASTS - timedelta(days=29)).total_seconds()
    assert (enrolment.papers() / "controller.crt").read_bytes() != first
    other = replace(enrolment, controller="c2")
    names = (other.papers() / "controller.crt").read_bytes()
    assert b"c2" in x509.load_pem_x509_certificate(names).subject.rfc4514_string().encode()


def test_what_is_revoked_stays_so_and_the_host_is_expected_no_more(enrolment: Enrolment) -> None:
    _, first = enrol(enrolment, "h1")
    _, dotted = enrol(enrolment, "h1.example")
    serial = shown_by(first).serial_number
    assert enrolment.revoke("h1") == {serial}
    assert enrolment.hosts() == {"h1.example"}
    assert enrolment.revoke("h1.example") == {serial, shown_by(dotted).serial_number}
    enrol(enrolment, "h1")
    assert enrolment.hosts() == {"h1"}
    assert serial in enrolment.revoked()


class Agents:
    """Agents that take papers, or do not."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Network]] = []
        self.silent: set[Network] = set()
        self.ok = True

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> dict[str, object]:
        """Take an order."""
        self.told.append((host, network))
        if network in self.silent:
            raise Unavailable("it is not there")
        return {"id": body.get("id"), "ok": self.ok}


@pytest.mark.anyio
async def test_papers_are_renewed_for_the_same_key_over_any_network(
    enrolment: Enrolment, clock: Still, tmp_path: Path
) -> None:
    key, signed = enrol(enrolment, "h1")
    agents = Agents()
    renewing = Renewing(enrolment, agents, lambda: None)
    await renewing.turn()
    assert not agents.told
    clock.at += (PAPER_LASTS - timedelta(days=20)).total_seconds()
    agents.ok = False
    await renewing.turn()
    [again] = enrolment.due().values()
    assert enrolment.due()["h1"].certificate == again.certificate  # no new one at each try
    assert shown_by(again).public_key() == key.public_key()
    assert again.ends_at > signed.ends_at
    agents.ok, agents.silent, agents.told = True, {Network.MANAGEMENT}, []
    await renewing.turn()
    assert agents.told == [("h1", Network.MANAGEMENT), ("h1", Network.TENANT)]
    assert not enrolment.due()
    (tmp_path / "key").write_bytes(secret(key))
    (tmp_path / "crt").write_text(again.certificate)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(tmp_path / "crt", tmp_path / "key")
    assert {shown_by(signed).serial_number, shown_by(again).serial_number} <= enrolment.revoke("h1")
