# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from billow.model.cpu.models import features_of, models
from billow.model.host import Host, Node
from billow.model.kinds import Arch
from billow.model.pool import Pool
from billow.model.text import parse
from billow.plan.baseline import baselines, model_name

POOL = parse(
    """billow-pool 1
    shape s cpu=1 memory=1GiB
    host a[1-2] nodes=(4,8GiB) cpu=neoverse-n1 arch=aarch64
    host e1 nodes=(4,8GiB) cpu=EPYC-Rome-v2
    host h[1-3] nodes=(4,8GiB) cpu=Skylake-Server-v3
    host i[1-4] nodes=(4,8GiB) cpu="Icelake-Server-v4 -pku"
    host u nodes=(4,8GiB)
    vm bound s i1 running cpu=Icelake-Server-v3
    vm fine s i1 running cpu=Skylake-Client-v3
    """
)


def test_each_instruction_set_and_vendor_has_a_baseline() -> None:
    found = {(each.arch, each.vendor): each for each in baselines(POOL)}
    assert {key: each.model for key, each in found.items()} == {
        (Arch.X86_64, "amd"): "EPYC-Rome-v2",
        (Arch.X86_64, "intel"): "Skylake-Client-v3",
        (Arch.AARCH64, ""): "neoverse-n1",
    }
    intel = found[Arch.X86_64, "intel"]
    assert (intel.hosts, intel.unknown, intel.bound) == (7, 1, 1)
    assert intel.common.startswith("Skylake-Client-v3 +avx512bw")
    assert [(kind.hosts, kind.examples) for kind in intel.kinds] == [
        (4, ("i1", "i2", "i3")),
        (3, ("h1", "h2", "h3")),
    ]


def test_one_feature_on_some_hosts_stands_in_the_way_of_the_nearest_model() -> None:
    (intel,) = (each for each in baselines(POOL, Arch.X86_64) if each.vendor == "intel")
    nearest = intel.nearest()[0]
    assert nearest.model == "Skylake-Server-v3"
    (kind,) = nearest.in_the_way
    assert kind.lacks == ("pku",)
    assert kind.examples == ("i1", "i2", "i3")
    families = [each.family for each in intel.nearest()]
    assert len(families) == len(set(families))
    assert not any(each.model.startswith("EPYC") for each in intel.better)


def test_only_the_asked_instruction_set_is_answered() -> None:
    assert {each.arch for each in baselines(POOL, Arch.AARCH64)} == {Arch.AARCH64}
    assert baselines(POOL, Arch.RISCV64) == ()
    assert baselines(Pool.build(())) == ()


def test_hosts_of_which_nothing_is_known_have_no_baseline() -> None:
    (only,) = baselines(parse("billow-pool 1\nhost h[1-2] nodes=(4,8GiB)"))
    assert (only.hosts, only.unknown, only.model, only.better) == (0, 2, "", ())


def test_a_cpu_that_runs_no_known_model_says_so() -> None:
    host = Host("h", (Node(1000, 1024),), cpu_model="486 -fpu")
    (only,) = baselines(Pool.build([host]))
    assert only.model == only.common == ""
    assert only.better[0].in_the_way[0].lacks


@given(st.lists(st.sampled_from(models(Arch.X86_64)), min_size=1, max_size=5))
def test_every_host_gives_the_baseline_and_none_gives_every_better_one(chosen: list) -> None:  # type: ignore[type-arg]
    node = (Node(1000, 1024),)
    hosts = [Host(f"h{n}", node, cpu_model=each.name) for n, each in enumerate(chosen)]
    pool = Pool.build(hosts)
    for found in baselines(pool):
        mine = [h for h in hosts if h.cpu_model in {kind.cpu_model for kind in found.kinds}]
        for host in mine:
            has = features_of(host.cpu_model) or frozenset()
            assert (features_of(found.common) or frozenset()) <= has
            assert not found.model or (features_of(found.model) or frozenset()) <= has
        for better in found.better:
            assert better.hosts >= 1
            assert better.gains > 0
        assert replace(found) == found


def test_a_name_where_there_is_no_room_for_all() -> None:
    assert model_name("Skylake-Server -pku") == "Skylake-Server-v1"
    assert model_name("") == ""
