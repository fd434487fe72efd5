# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.errors import Invalid
from billow.model.group import Fact, Gap, Group, Link, Uplink
from billow.model.host import Host, Node
from billow.model.instance import Instance, mask_of, nodes_of
from billow.model.kinds import Rule
from billow.model.names import check_id, check_ids, check_name
from billow.model.shape import Shape

NODE = Node(1000, 1024)
SHAPE = Shape("s", 1000, 1024)

BAD_IDS = [
    *(
        "",
        " ",
        "a b",
        "a\tb",
        "a\nb",
        "\x00",
        "a\x85b",
        "a\u2028b",
        "a\u00a0b",
        "a=b",
        'a"b',
        "a'b",
    ),
    *("a,b", "a\\b", "a[b", "a]b", "-a", "#a", "x" * 254, "\u202eevil", "a\u200bb", "\ufeffa"),
    *("\ud800", None, 5, b"a", True, ["a"]),
]
BAD_AMOUNTS = [-1, 2**40 + 1, 2**200, 1.0, 1.5, math.nan, math.inf, True, "1", None, [1]]
BAD_MEASURES = [-1.0, -0.001, 1e13, math.inf, -math.inf, 10**400, True, "1", None, [1.0]]
BAD_TEXTS = ["x" * 4097, "\ud800", None, 5, b"a"]


Maker = tuple[str, Callable[[Any], object], list[Any]]

HOSTS: list[Maker] = [
    ("host id", lambda bad: Host(bad, (NODE,)), BAD_IDS),
    ("zone", lambda bad: Host("h", (NODE,), zone=bad), BAD_IDS[1:]),
    ("rack", lambda bad: Host("h", (NODE,), rack=bad), BAD_IDS[1:]),
    ("gpu model", lambda bad: Host("h", (NODE,), gpu_model=bad), BAD_IDS[1:]),
    ("host trait", lambda bad: Host("h", (NODE,), traits=frozenset([bad])), BAD_IDS[:-1]),
    ("host traits", lambda bad: Host("h", (NODE,), traits=bad), [set(), (), "a", None]),
    ("nodes", lambda bad: Host("h", bad), [(), (NODE,) * 33]),
    ("sockets", lambda bad: Host("h", (NODE,), sockets=bad), [0, 4097, *BAD_AMOUNTS]),
    ("arch", lambda bad: Host("h", (NODE,), arch=bad), ["x86_64", None, 1]),
    ("power", lambda bad: Host("h", (NODE,), power=bad), ["on", None, 1]),
    ("health", lambda bad: Host("h", (NODE,), health=bad), ["ok", None, 1]),
    ("cordon", lambda bad: Host("h", (NODE,), cordon=bad), BAD_TEXTS),
    ("cpu ratio", lambda bad: Host("h", (NODE,), cpu_ratio=bad), [math.nan, 0, *BAD_MEASURES]),
    ("memory ratio", lambda bad: Host("h", (NODE,), memory_ratio=bad), [math.nan, 0, 101.0]),
    (
        "bandwidth",
        lambda bad: Host("h", (NODE,), bandwidth_mib_s=bad),
        [math.nan, *BAD_MEASURES],
    ),
    ("host use", lambda bad: Host("h", (NODE,), cpu_used_milli=bad), BAD_MEASURES),
    ("node cpu", lambda bad: Node(bad, 1), BAD_AMOUNTS),
    ("node memory", lambda bad: Node(1, bad), BAD_AMOUNTS),
    ("node huge", lambda bad: Node(1, 1, bad), BAD_AMOUNTS),
    ("node gpus", lambda bad: Node(1, 1, 1, bad), BAD_AMOUNTS),
]
INSTANCES: list[Maker] = [
    ("instance id", lambda bad: Instance(bad, SHAPE), BAD_IDS),
    ("shape", lambda bad: Instance("a", bad), [None, "s", 5]),
    ("kind", lambda bad: Instance("a", SHAPE, kind=bad), ["vm", None]),
    ("state", lambda bad: Instance("a", SHAPE, state=bad), ["running", None]),
    ("host", lambda bad: Instance("a", SHAPE, host=bad), BAD_IDS[1:]),
    ("group", lambda bad: Instance("a", SHAPE, group=bad), BAD_IDS[1:]),
    ("tenant", lambda bad: Instance("a", SHAPE, tenant=bad), BAD_IDS[1:]),
    ("image", lambda bad: Instance("a", SHAPE, image=bad), BAD_IDS[1:]),
    ("bound to", lambda bad: Instance("a", SHAPE, nodes=bad), [[0], (0, 0), (32,), (-1,), "0"]),
    ("priority", lambda bad: Instance("a", SHAPE, priority=bad), [1.5, 10**7, True, "1", None]),
    ("immovable", lambda bad: Instance("a", SHAPE, immovable=bad), BAD_TEXTS),
    ("dirty", lambda bad: Instance("a", SHAPE, dirty_mib_s=bad), BAD_MEASURES),
]
OTHERS: list[Maker] = [
    ("shape name", lambda bad: Shape(bad, 1, 1), BAD_IDS),
    ("shape cpu", lambda bad: Shape("s", bad, 1), BAD_AMOUNTS),
    ("shape memory", lambda bad: Shape("s", 1, bad), BAD_AMOUNTS),
    ("shape nodes", lambda bad: Shape("s", 1, 1, numa_nodes=bad), [33, *BAD_AMOUNTS]),
    ("shape gpus", lambda bad: Shape("s", 1, 1, gpus=bad), [5000, *BAD_AMOUNTS]),
    ("shape arch", lambda bad: Shape("s", 1, 1, arch=bad), ["x86_64", 1]),
    ("shape huge", lambda bad: Shape("s", 1, 1, huge_pages=bad), [1, "yes", None]),
    ("shape dedicated", lambda bad: Shape("s", 1, 1, dedicated=bad), [0, "no", None]),
    ("group name", lambda bad: Group(bad, Rule.AFFINITY), BAD_IDS),
    ("rule", lambda bad: Group("g", bad), ["affinity", None]),
    ("scope", lambda bad: Group("g", Rule.AFFINITY, bad), ["host", None]),
    ("link", lambda bad: Link("a", "b", bad), [math.nan, *BAD_MEASURES]),
    ("uplink", lambda bad: Uplink("a", bad), [math.nan, *BAD_MEASURES]),
    ("link end", lambda bad: Link("a", bad, 1.0), BAD_IDS),
    ("fact", lambda bad: Fact("host/h", "key", bad), BAD_TEXTS),
    ("gap", lambda bad: Gap("host/h", bad), BAD_TEXTS),
]
BROKEN = [
    (f"{what} {bad!a:.20}", make, bad)
    for what, make, choices in (*HOSTS, *INSTANCES, *OTHERS)
    for bad in choices
]


@pytest.mark.parametrize(
    ("make", "bad"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN]
)
def test_a_value_that_cannot_be_is_refused_with_a_way_out(
    make: Callable[[Any], object], bad: object
) -> None:
    with pytest.raises(Invalid) as caught:
        make(bad)
    assert caught.value.fix
    str(caught.value).encode()  # what is shown of a bad value can always be printed


@given(st.lists(st.text(max_size=4) | st.sampled_from(["a", "b/c", "-", "#", "é"]), max_size=4))
def test_many_ids_are_judged_like_each_one(ids: list[str]) -> None:
    def accepts(check: Callable[[], object]) -> bool:
        try:
            check()
        except Invalid:
            return False
        return True

    each = all(accepts(lambda name=name: check_id("id", name)) for name in ids)  # type: ignore[misc]
    assert accepts(lambda: check_ids("id", ids)) == each


@pytest.mark.parametrize("name", ["a", "a-1", "0", "x" * 63])
def test_names_that_billow_gives(name: str) -> None:
    assert check_name("instance", name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "-a", "a-", "a.b", "a/b", "../a", "a b", "é", "x" * 64, "a\n", None, 5]
)
def test_names_that_billow_does_not_give(name: object) -> None:
    with pytest.raises(Invalid) as caught:
        check_name("instance", name)
    assert caught.value.fix


@given(st.sets(st.integers(0, 31)))
def test_a_mask_names_its_nodes(nodes: set[int]) -> None:
    assert nodes_of(mask_of(tuple(nodes))) == tuple(sorted(nodes))


def test_a_share_is_rounded_up() -> None:
    shape = Shape("s", 1001, 1025, numa_nodes=2, huge_pages=True, gpus=1)
    assert shape.demand == (1001, 0, 1025, 1)
    assert shape.share == (501, 0, 513, 1)
    assert SHAPE.share == (0, 0, 0, 0)
