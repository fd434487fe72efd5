# SPDX-License-Identifier: Apache-2.0
"""What the recorder remembers: means by step, who came, moved and went, and which hosts slept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from billow.model.history import History
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.sense.history_file import contents, load, write
from billow.sense.recorder import Recorder

SMALL = Shape("s", 1000, 1024)


def pool(at: float, homes: dict[str, str], *, cpu: float = 100.0, off: str = "") -> Pool:
    hosts = [
        Host(name, (Node(8000, 8192),), power=Power.OFF if name == off else Power.ON)
        for name in ("h1", "h2")
    ]
    instances = [
        Instance(name, SMALL, host=home, state=State.RUNNING, tenant="t", cpu_used_milli=cpu)
        for name, home in homes.items()
    ]
    return Pool.build(hosts, instances, taken_at=at)


def told(recorder: Recorder, *looks: Pool) -> History:
    history = None
    for look in looks:
        history = recorder.look(look).history
    assert history is not None
    return history


def test_looks_of_one_step_become_their_mean_once_it_is_over() -> None:
    looks = [pool(at, {"a": "h1"}, cpu=cpu) for at, cpu in ((0, 100), (5, 300), (10, 50), (20, 1))]
    history = told(Recorder(step_s=10), *looks)
    assert history.cpu_of(["a"]).tolist() == [[200.0, 50.0]]
    assert np.isnan(history.cpu_of(["nobody"])).all()


def test_what_was_handed_out_never_changes() -> None:
    recorder = Recorder(step_s=1)
    early = told(recorder, *(pool(at, {"a": "h1"}, cpu=at) for at in range(5)))
    was = early.cpu.copy()
    for at in range(5, 900):
        recorder.look(pool(at, {"a": "h1", f"b{at // 50}": "h2"}, cpu=at))
    assert np.array_equal(early.cpu, was)
    late = told(recorder, pool(900, {"a": "h1"}))
    assert late.cpu_of(["a"]).tolist() == [list(range(900 - 288, 900))]


def test_who_came_moved_and_went() -> None:
    history = told(
        Recorder(),
        pool(0, {"a": "h1", "b": "h1"}),
        pool(100, {"a": "h2", "b": "h1"}),
        pool(250, {"a": "h2", "c": "h1"}),
    )
    assert history.born_of(["a", "c"]).tolist() == [0, 250]
    assert history.settled_of(["a", "c"]).tolist() == [100, 250]
    lives = history.lives
    assert lives is not None
    ended = lives.ended.tolist()
    assert (lives.born.tolist()[0], ended[0]) == (0, 250)
    assert lives.tenant == ("t", "t", "t")
    assert np.isnan(ended[1:]).all()


def test_one_that_comes_again_is_another() -> None:
    recorder = Recorder()
    recorder.look(pool(0, {"a": "h1"}))
    recorder.look(pool(10, {"b": "h1"}))
    history = told(recorder, pool(20, {"a": "h1", "b": "h1"}))
    assert history.born_of(["a", "b"]).tolist() == [20, 10]


def test_hosts_that_were_switched() -> None:
    homes = {"a": "h1"}
    history = told(
        Recorder(), pool(0, homes), pool(50, homes, off="h2"), pool(90, homes), pool(95, homes)
    )
    assert history.hosts == ("h1", "h2")
    assert history.wakes.tolist() == [0, 1]
    assert history.switched[1] == 90
    assert np.isnan(history.switched[0])


def test_who_moves_twice_counts_twice_for_a_day() -> None:
    day = 86_400
    recorder = Recorder()
    looks = [pool(0, {"a": "h1"}), pool(10, {"a": "h2"}), pool(20, {"a": "h1", "b": "h1"})]
    assert told(recorder, *looks).moved == 2
    assert told(recorder, pool(day + 15, {"a": "h1", "b": "h2"})).moved == 2
    assert told(recorder, pool(2 * day + 30, {"a": "h1", "b": "h1"})).moved == 1


def test_levels_are_taken_by_the_hour() -> None:
    homes = {"a": "h1", "b": "h1"}
    history = told(Recorder(), *(pool(at, homes) for at in (0, 1800, 3600, 3700)))
    assert history.levels is not None
    assert history.levels.at.tolist() == [0, 3600]
    assert history.levels.reserved[:, 0].tolist() == [2000, 2000]
    assert history.levels.sellable[:, 0].tolist() == [16000, 16000]


def test_a_restarted_process_remembers(tmp_path: Path) -> None:
    recorder, file = Recorder(step_s=10), tmp_path / "history.npz"
    looks = [pool(at, {"a": "h1", "b": "h2"}, cpu=at) for at in range(0, 100, 10)]
    told(recorder, *looks, pool(100, {"a": "h2"}, off="h1"))
    write(contents(recorder), file)
    again = Recorder(step_s=10)
    load(again, file)
    before = told(recorder, pool(110, {"a": "h2"}))
    after = told(again, pool(110, {"a": "h2"}))
    assert after.settled_of(["a"]).tolist() == before.settled_of(["a"]).tolist() == [100]
    assert after.cpu_of(["a"])[0, :10].tolist() == list(range(0, 100, 10))
    assert after.wakes.tolist() == before.wakes.tolist() == [1, 0]
    assert after.moved == before.moved == 1
    assert after.lives is not None
    assert after.lives.ended[0] == 100


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04nonsense", b"\x00" * 100])
def test_a_damaged_file_begins_anew(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "history.npz"
    file.write_bytes(damage)
    recorder = Recorder()
    load(recorder, file)
    assert told(recorder, pool(0, {"a": "h1"})).born_of(["a"]).tolist() == [0]


def test_a_window_drops_the_slots_of_those_that_are_gone() -> None:
    recorder = Recorder(step_s=1)
    for at in range(60):
        homes = {f"i{at}-{number}": "h1" for number in range(100)} | {"a": "h2"}
        recorder.look(pool(at, homes, cpu=7))
    assert len(recorder.window.names) < 2100
    history = told(recorder, pool(60, {"a": "h2"}, cpu=7))
    assert history.cpu_of(["a"]).tolist() == [[7.0] * 60]
    assert history.settled_of(["a"]).tolist() == [0]


def test_the_pool_keeps_what_it_has_computed() -> None:
    before = pool(0, {"a": "h1"})
    digest, free = before.digest, before.free
    after = Recorder().look(before)
    assert after.digest == digest
    assert after.free is free
    assert replace(after, history=None).history is None
