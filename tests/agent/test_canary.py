# SPDX-License-Identifier: Apache-2.0
"""When a canary says that the path to a pool is lost, and when it must not: real file systems."""

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from billow.agent import canary
from billow.agent.canary import Canary, mounted_at
from billow.agent.findings import Findings
from billow.agent.options import Options, Place
from billow.model.ha.evidence import Hardware, Network, Symptom

LOST = (Hardware.HURTING, Network.STORAGE)
HURTS = (Hardware.HURTING, None)
TOLD = (Hardware.SOUND, None)
WINDOW_S = 3.0


def look(probe: Canary) -> tuple[Hardware, Network | None] | None:
    """Try once; return what that is told as."""
    probe.look()
    symptom = probe.symptom
    return None if symptom is None else (symptom.grade, symptom.network)


def stale(probe: Canary) -> tuple[Hardware, Network | None]:
    """Return what it is told as when nothing comes back any more."""
    return probe.progress.grade, probe.progress.network


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """A folder on which a file system of its own is mounted."""
    place = tmp_path / "share"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


def failing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Have the storage answer every write with an error."""

    def fail(*_: object) -> int:
        raise OSError(code, "as the test wants it")

    monkeypatch.setattr(os, "pwritev", fail)


def test_a_pool_that_was_never_written_is_told_and_loses_no_path(tmp_path: Path) -> None:
    place = tmp_path / "typing-error"
    probe = Canary(Place("images", place), "h1", WINDOW_S)
    assert look(probe) == TOLD
    assert stale(probe) == TOLD
    assert probe.symptom is not None
    assert "--pool" in probe.symptom.text
    place.mkdir()
    assert look(probe) is None
    assert stale(probe) == LOST
    (place / ".billow-canary-h1").unlink()
    place.rmdir()
    assert look(probe) == LOST, "it was there"


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EROFS, errno.ENOSPC, 0])
def test_no_error_of_a_pool_that_never_went_well_loses_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    failing(monkeypatch, code)
    probe = Canary(Place("images", tmp_path), "h1", WINDOW_S)
    assert (look(probe), stale(probe)) == (TOLD, TOLD)


@pytest.mark.parametrize(
    ("code", "pool", "disk"),
    [
        *((code, LOST, HURTS) for code in (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENOENT)),
        *((code, TOLD, HURTS) for code in (errno.ENOSPC, errno.EDQUOT, errno.EACCES)),
        (errno.EROFS, HURTS, HURTS),
        (errno.EINVAL, HURTS, HURTS),
    ],
)
def test_what_an_error_means_after_it_went_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    pool: tuple[Hardware, Network | None],
    disk: tuple[Hardware, Network | None],
) -> None:
    probes = [
        Canary(Place("p", tmp_path, shared=shared), "h1", WINDOW_S) for shared in (True, False)
    ]
    assert [look(each) for each in probes] == [None, None]
    failing(monkeypatch, code)
    assert [look(each) for each in probes] == [pool, disk]


def test_a_pool_that_answers_with_an_error_is_not_taken_for_one_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, clock = Canary(Place("p", tmp_path), "h1", WINDOW_S), [100.0]
    monkeypatch.setattr(canary, "now", lambda: clock[0])
    assert look(probe) is None
    for code, answered in ((errno.ENOSPC, True), (errno.EROFS, True), (errno.EIO, False)):
        failing(monkeypatch, code)
        clock[0] += 60
        look(probe)
        assert (probe.progress.at == clock[0]) is answered


def test_a_loss_begins_when_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe, clock = Canary(Place("p", tmp_path), "h1", WINDOW_S), [100.0]
    monkeypatch.setattr(canary, "wall", lambda: clock[0])

    def since(code: int) -> float:
        failing(monkeypatch, code)
        probe.look()
        clock[0] += 1
        assert probe.symptom is not None
        return probe.symptom.since

    assert look(probe) is None
    assert [since(each) for each in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)] == [
        100.0, 100.0, 102.0, 102.0,
    ]  # fmt: skip


def test_a_share_that_is_unmounted_is_lost_though_the_folder_below_can_be_written(
    share: Path,
) -> None:
    probe = Canary(Place("images", share), "h1", WINDOW_S)
    assert mounted_at(share) == share
    assert look(probe) is None
    run("umount", str(share))
    assert look(probe) == LOST
    assert look(probe) == LOST, "and stays lost"
    assert probe.symptom is not None
    assert "mounted" in probe.symptom.text
    run("mount", "-t", "tmpfs", "none", str(share))
    assert look(probe) is None, "mounted once more, it is another device and the same share"


def test_a_share_that_is_mounted_after_the_agent_began_is_not_lost(tmp_path: Path) -> None:
    probe = Canary(Place("images", tmp_path), "h1", WINDOW_S)
    assert look(probe) is None
    run("mount", "-t", "tmpfs", "none", str(tmp_path))
    try:
        assert look(probe) is None
    finally:
        run("umount", str(tmp_path))
    assert look(probe) == LOST


def test_a_mount_that_closed_itself_hurts_and_is_not_lost(share: Path) -> None:
    probe = Canary(Place("images", share), "h1", WINDOW_S)
    assert look(probe) is None
    run("mount", "-o", "remount,ro", str(share))
    assert look(probe) == HURTS


def test_a_full_pool_is_told(share: Path) -> None:
    probe = Canary(Place("images", share), "h1", WINDOW_S)
    assert look(probe) is None
    (share / ".billow-canary-h1").unlink()
    with pytest.raises(OSError, match="No space"):
        (share / "filler").write_bytes(bytes(1 << 20))
    assert look(probe) == TOLD


def test_a_prober_begun_anew_does_not_forget_that_a_pool_went_well(tmp_path: Path) -> None:
    findings = Findings(Options(host="h1", state=tmp_path, boot="b"))
    place = Place("images", tmp_path / "pool")

    def told(probe: Canary, after_s: float) -> list[Symptom]:
        findings.take({"progress": [asdict(probe.progress)]}, 0.0)
        found = findings.symptoms(probe.progress.at + after_s, 1.0)
        return [each for each in found if each.probe == "storage"]

    fresh = Canary(place, "h1", WINDOW_S)
    assert [each.grade for each in told(fresh, 60)] == [Hardware.SOUND], "it never went well"
    place.path.mkdir()
    fresh.look()
    assert [each.network for each in told(fresh, 60)] == [Network.STORAGE]
    again = Canary(place, "h1", WINDOW_S)
    assert told(again, 1) == []
    assert [each.network for each in told(again, 60)] == [Network.STORAGE]
