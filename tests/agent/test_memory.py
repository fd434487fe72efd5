# SPDX-License-Identifier: Apache-2.0
"""What an agent must not forget: over a restart, a boot, and a disk that cannot be written."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from billow.agent.guests import WHOLE
from billow.agent.memory import Memory, Obeyed, runtime_folder
from billow.agent.orders import Obedience


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.01)


def kept(state: Path) -> dict[str, object]:
    """Return what the disk has."""
    file = state / "obeyed.json"
    found: dict[str, object] = json.loads(file.read_text()) if file.exists() else {}
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    return folder


def test_a_restart_forgets_nothing_and_a_boot_what_was_of_the_boot(state: Path) -> None:
    memory = Memory(state, "one")
    assert memory.obeyed == Obeyed(boot="one")
    memory.change(fence=7, fenced=True, clean=True, lease_s=10.0, peers={"h2": {"tenant": "a:1"}})
    assert Memory(state, "one").obeyed == memory.obeyed
    after = Memory(state, "two").obeyed
    assert after == Obeyed(fence=7, boot="two", fenced=True)


def test_the_disk_knows_soon_and_is_believed_when_memory_is_gone(state: Path) -> None:
    memory = Memory(state, "one")
    memory.change(fence=9, clean=True)
    until(lambda: kept(state).get("fence") == 9)
    shutil.rmtree(runtime_folder(state))
    assert Memory(state, "one").obeyed == Obeyed(fence=9, boot="one", clean=True)


def test_a_disk_that_cannot_be_written_holds_up_nothing(state: Path) -> None:
    memory = Memory(state, "one")
    (state / "obeyed.new").mkdir()  # in the way of the file
    memory.change(fence=3)
    assert Memory(state, "one").obeyed.fence == 3
    assert kept(state) == {}
    (state / "obeyed.new").rmdir()
    until(lambda: kept(state).get("fence") == 3)


def test_a_full_place_in_memory_is_no_reason_not_to_obey(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = Memory(state, "one")
    obedience = Obedience(memory, {}, {}, WHOLE)
    in_the_way = runtime_folder(state) / "obeyed.new"
    in_the_way.mkdir()
    looked = obedience.take({"id": "o1", "do": "nothing", "fence": 4}, 0.0)
    assert looked is not None
    assert looked["text"] == "unknown order 'nothing'"
    assert memory.obeyed.fence == 4
    until(lambda: kept(state).get("fence") == 4)
    assert capsys.readouterr().err.count("yet") == 1
    in_the_way.rmdir()
    file = runtime_folder(state) / "obeyed.json"
    until(lambda: file.exists() and json.loads(file.read_text())["fence"] == 4)
    older = obedience.take({"id": "o2", "do": "nothing", "fence": 3}, 0.0)
    assert older is not None
    assert older["text"] == "older fence 3: 4 was obeyed"


def test_the_highest_fence_of_both_places_counts(state: Path) -> None:
    (state / "obeyed.json").write_text(json.dumps({"fence": 12, "boot": "zero"}))
    (runtime_folder(state) / "obeyed.json").write_text(json.dumps({"fence": 5, "boot": "one"}))
    assert Memory(state, "one").obeyed == Obeyed(fence=12, boot="one")


def test_what_cannot_be_read_is_nothing(state: Path) -> None:
    (state / "obeyed.json").write_text("{half a file")
    assert Memory(state, "one").obeyed == Obeyed(boot="one")
