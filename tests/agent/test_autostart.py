# SPDX-License-Identifier: Apache-2.0
"""What starts guests when a host boots is found, and said in the check."""

from pathlib import Path

import pytest

from billow.agent import autostart
from billow.agent.autostart import starters
from billow.agent.check import check
from billow.agent.options import read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for libvirt's links."""
    made = tmp_path / "autostart"
    made.mkdir()
    return made


def test_a_host_that_starts_nothing_says_nothing(folder: Path, tmp_path: Path) -> None:
    nova = tmp_path / "nova.conf"
    assert list(starters(tmp_path / "none", nova)) == []
    nova.write_text("[DEFAULT]\n#resume_guests_state_on_host_boot = true\ndebug = true\n")
    (folder / "notes.txt").touch()
    assert list(starters(folder, nova)) == []
    nova.write_text("resume_guests_state_on_host_boot=true\nresume_guests_state_on_host_boot=no\n")
    assert list(starters(folder, nova)) == []


def test_links_of_libvirt_are_named_and_how_to_take_them_away(folder: Path, tmp_path: Path) -> None:
    (folder / "web1.xml").symlink_to(tmp_path / "web1.xml")
    (told,) = starters(folder, tmp_path / "nova.conf")
    assert told == "libvirt starts web1 at boot: `virsh autostart --disable GUEST` for each"
    for number in range(20):
        (folder / f"a{number:02}.xml").touch()
    (told,) = starters(folder, tmp_path / "nova.conf")
    assert "a00, a01, a02, a03, a04, ... at boot" in told


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "on"])
def test_nova_that_resumes_guests_is_told_of(word: str, folder: Path, tmp_path: Path) -> None:
    nova = tmp_path / "nova.conf"
    nova.write_text(f"[DEFAULT]\nresume_guests_state_on_host_boot = {word}\n")
    (told,) = starters(folder, nova)
    assert "set resume_guests_state_on_host_boot = false in" in told


def test_the_check_warns_and_passes_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options, _ = read(["--state", str(tmp_path), "--check"])
    monkeypatch.setattr(autostart, "starters", lambda: iter(()))
    failed = check(options, as_json=False)
    assert "ok      autostart        neither" in capsys.readouterr().out
    monkeypatch.setattr(autostart, "starters", lambda: iter(["libvirt starts web1 at boot"]))
    assert check(options, as_json=False) == failed
    assert "WARNING autostart        libvirt starts web1 at boot" in capsys.readouterr().out


def test_what_cannot_be_read_is_not_taken_for_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def denied() -> list[str]:
        raise PermissionError("denied")

    options, _ = read(["--state", str(tmp_path), "--check"])
    monkeypatch.setattr(autostart, "starters", denied)
    check(options, as_json=False)
    assert "absent  autostart        cannot be seen: denied" in capsys.readouterr().out
