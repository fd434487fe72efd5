# SPDX-License-Identifier: Apache-2.0
"""What every host refuses, whichever engine has it."""

from dataclasses import replace

import pytest

from billow.act import refusals
from billow.model.action import Allot, Place, Resize
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Kind, State
from billow.model.pool import Pool
from billow.model.shape import Shape

SMALL = Shape("small", 1000, 512)
NODE = Node(cpu_milli=8000, memory_mib=8192)
HERE = Host(id="a", nodes=(NODE,), cpu_model="Skylake-Server-v3")
X = Instance("x", SMALL, host="a", state=State.RUNNING, cpu_model="Skylake-Server-v3 -pku")
POOL = Pool.build([HERE, replace(HERE, id="b")], [X])


def test_names_and_places() -> None:
    assert [each.reason for each in refusals.unknown(POOL, "c")] == ["no host 'c'"]
    assert [each.reason for each in refusals.absent(POOL, "y", "a")] == ["no instance 'y'"]
    assert [each.reason for each in refusals.absent(POOL, "x", "b")] == [
        "instance x is on a, not 'b'"
    ]
    assert not [*refusals.unknown(POOL, "a"), *refusals.absent(POOL, "x", "a")]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (replace(X, id="y", host=""), ""),
        (replace(X, host=""), "instance x exists already"),
        (replace(X, id="a/b", host=""), "name"),
        (replace(X, id="y", host="", kind=Kind.CONTAINER), "virtual machines only"),
        (replace(X, id="y", host="", group="web"), "no group web"),
    ],
)
def test_who_can_come_new(wanted: Instance, why: str) -> None:
    found = [
        each.reason for each in refusals.nameless(POOL, Place(id="p", instance=wanted, host="a"))
    ]
    assert bool(found) is bool(why)
    assert why in " ".join(found)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (replace(HERE, id="b"), ""),
        (replace(HERE, id="b", cpu_model="Westmere-v1"), "lacks"),
        (replace(HERE, id="b", arch=Arch.AARCH64, cpu_model=""), "nothing moves between them"),
        (replace(HERE, id="b", cordon="bad fan"), "cordoned: bad fan"),
    ],
)
def test_a_host_is_closed_to_whom_it_cannot_run(target: Host, why: str) -> None:
    found = [each.reason for each in refusals.closed(POOL, X, target)]
    assert bool(found) is bool(why)
    assert why in " ".join(found)
    assert not [*refusals.closed(POOL, X, replace(HERE, cordon="it stays where it is"))]


def test_state_shape_and_room() -> None:
    paused = replace(X, state=State.PAUSED)
    larger = Resize(id="r", instance="x", host="a", old=Shape("other", 1, 1), new=SMALL)
    assert len([*refusals.unlike(paused, larger)]) == 2
    assert [each.reason for each in refusals.idle(replace(X, state=State.STOPPED))]
    assert [each.reason for each in refusals.unmovable(replace(X, immovable="a GPU"))]
    assert not [*refusals.unmovable(X), *refusals.idle(X)]
    lacks = [each.reason for each in refusals.crowded(SMALL.demand, (900, 9999, 0, 0), "a")]
    assert len(lacks) == 1
    assert lacks[0].startswith("a has 900 ")
    other = Shape("small", 2000, 512)
    assert [*refusals.disputed(POOL, other)]
    assert [*refusals.disputed(POOL, Shape("new", 1, 1), [Shape("new", 2, 2)])]
    assert [*refusals.excessive(Allot(id="o", host="a", cpu_ratio=0.0, memory_ratio=1.0))]
