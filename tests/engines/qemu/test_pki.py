# SPDX-License-Identifier: Apache-2.0
"""The pool's certificates: who may be believed, for how long, and what happens at the end of it."""

import stat
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from billow.act.authority import AUTHORITY_LASTS, PAPER_LASTS
from billow.engines.qemu.pki import Papers

NOW = 1_800_000_000.0
DAY_S = 86_400.0
HOST_DAYS, AUTHORITY_DAYS = PAPER_LASTS.days, AUTHORITY_LASTS.days
FILES = {
    *("ca-cert.pem", "dh-params.pem"),
    *("server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem"),
}


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    """Return the papers of a pool that has none yet."""
    return Papers(tmp_path / "pki", "test")


def accepts(verifier: Path, shown: Path, name: str, days: float) -> bool:
    """Return whether who has some papers believes who shows others to be a host, on a day."""
    trusted = x509.load_pem_x509_certificates((verifier / "ca-cert.pem").read_bytes())
    certificate = x509.load_pem_x509_certificate((shown / "server-cert.pem").read_bytes())
    moment = datetime.fromtimestamp(NOW + days * DAY_S, UTC)
    builder = PolicyBuilder().store(Store(trusted)).time(moment)
    subject: x509.DNSName | x509.IPAddress = x509.DNSName(name)
    if name[0].isdigit():
        subject = x509.IPAddress(ip_address(name))
    try:
        builder.build_server_verifier(subject).verify(certificate, [])
    except VerificationError:
        return False
    return True


def test_hosts_of_a_pool_believe_each_other_by_name_and_by_address(papers: Papers) -> None:
    first = papers.of("h1", "10.77.0.1", NOW)
    second = papers.of("h2", "10.77.0.2", NOW)
    assert {each.name for each in first.iterdir()} == FILES
    assert accepts(first, second, "h2", 0)
    assert accepts(second, first, "10.77.0.1", 0)
    assert not accepts(first, second, "h1", 0)
    assert not accepts(first, second, "h2", HOST_DAYS + 1)
    assert accepts(first, second, "h2", -0.02)  # clocks differ


def test_another_pool_is_not_believed(papers: Papers, tmp_path: Path) -> None:
    ours = papers.of("h1", "10.77.0.1", NOW)
    theirs = Papers(tmp_path / "other", "test").of("h2", "10.77.0.2", NOW)
    assert not accepts(ours, theirs, "h2", 0)
    assert not accepts(theirs, ours, "h1", 0)


def test_nobody_else_may_read_a_key(papers: Papers) -> None:
    papers.of("h1", "10.77.0.1", NOW)
    for path in (papers.folder, *papers.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_papers_are_kept_until_they_near_their_end(papers: Papers) -> None:
    first = papers.of("h1", "10.77.0.1", NOW)
    assert papers.of("h1", "10.77.0.1", NOW + (2 * HOST_DAYS / 3 - 1) * DAY_S) == first
    later = NOW + (2 * HOST_DAYS / 3 + 1) * DAY_S
    second = papers.of("h1", "10.77.0.1", later)
    assert second != first
    assert first.exists()  # a process may be about to read it
    assert papers.of("h1", "10.77.0.1", later) == second
    papers.of("h1", "10.77.0.1", later + HOST_DAYS * DAY_S)
    assert not first.exists()


def test_a_host_with_another_address_gets_other_papers(papers: Papers) -> None:
    first = papers.of("h1", "10.77.0.1", NOW)
    second = papers.of("h1", "10.77.0.9", NOW)
    assert first != second
    assert accepts(first, second, "10.77.0.9", 0)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_papers_that_cannot_be_read_are_issued_anew(
    papers: Papers, name: str, content: bytes | None
) -> None:
    first = papers.of("h1", "10.77.0.1", NOW)
    if content is None:
        (first / name).unlink()
    else:
        (first / name).write_bytes(content)
    second = papers.of("h1", "10.77.0.1", NOW)
    assert second != first
    assert accepts(second, second, "h1", 0)


def test_an_authority_gets_a_successor_and_is_believed_until_its_end(papers: Papers) -> None:
    papers.of("h1", "10.77.0.1", NOW)
    days = AUTHORITY_DAYS - 2 * HOST_DAYS - 1.0
    old = papers.of("h1", "10.77.0.1", NOW + days * DAY_S)
    renewed = papers.of("h2", "10.77.0.2", NOW + (days + 2) * DAY_S)
    assert len(x509.load_pem_x509_certificates((renewed / "ca-cert.pem").read_bytes())) == 2
    assert accepts(renewed, old, "h1", days + 2)
    fresh = papers.of("h1", "10.77.0.1", NOW + (days + 2) * DAY_S)
    assert fresh != old
    assert accepts(fresh, renewed, "h2", days + 2)
    ended = papers.of("h1", "10.77.0.1", NOW + (AUTHORITY_DAYS + 1) * DAY_S)
    assert len(x509.load_pem_x509_certificates((ended / "ca-cert.pem").read_bytes())) == 1


def test_a_lost_authority_is_replaced_and_the_old_one_forgotten(papers: Papers) -> None:
    old = papers.of("h1", "10.77.0.1", NOW)
    (papers.folder / "authority.pem").write_bytes(b"half of it")
    fresh = papers.of("h1", "10.77.0.1", NOW)
    other = papers.of("h2", "10.77.0.2", NOW)
    assert accepts(fresh, other, "h2", 0)
    assert not accepts(fresh, old, "h1", 0)


def test_what_a_dead_controller_drafted_is_swept(papers: Papers) -> None:
    first = papers.of("h1", "10.77.0.1", NOW)
    draft = first.with_name(".draft-x")
    draft.mkdir()
    papers.of("h2", "10.77.0.2", NOW)
    assert not draft.exists()
    assert first.exists()
