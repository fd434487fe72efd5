# SPDX-License-Identifier: Apache-2.0

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.errors import Invalid
from billow.model.cpu.models import (
    check_cpu,
    described,
    features_of,
    model_of,
    models,
    vendor_of,
)
from billow.model.kinds import Arch
from billow.model.text import parse, render

EVERYTHING = sorted(frozenset().union(*(model.features for model in models(Arch.X86_64))))


@pytest.mark.parametrize("arch", [Arch.X86_64, Arch.AARCH64])
def test_every_model_describes_itself(arch: Arch) -> None:
    for model in models(arch):
        assert features_of(described(model.features, arch)) == model.features
        assert all(model_of(name) is model for name in model.names)


@given(st.frozensets(st.sampled_from(EVERYTHING)), st.sampled_from([Arch.X86_64, Arch.AARCH64]))
def test_any_set_of_features_comes_back_from_its_text(has: frozenset[str], arch: Arch) -> None:
    text = described(has, arch)
    assert check_cpu("a CPU", text) == text
    assert features_of(text) == has


def test_a_text_is_a_model_and_what_is_less_and_more() -> None:
    has = features_of("Skylake-Server-IBRS -pku +gfni")
    model = model_of("Skylake-Server-v2")
    assert has is not None
    assert has ^ model.features == {"pku", "gfni"}
    assert model.family == "Skylake-Server"
    assert "pku" in model.features
    assert described(has, Arch.X86_64) == "Skylake-Server-v2 -pku +gfni"


def test_the_models_are_those_of_the_vendors() -> None:
    assert model_of("EPYC-IBPB").vendor == "amd"
    assert model_of("SapphireRapids").vendor == "intel"
    assert model_of("kvm64").vendor == ""
    assert vendor_of(model_of("neoverse-n1").features) == ""


def test_newer_generations_have_all_of_older_ones() -> None:
    line = ["kvm64", "Westmere", "IvyBridge", "Haswell-noTSX", "Skylake-Client-noTSX-IBRS"]
    line += ["Skylake-Server-noTSX-IBRS"]
    for older, newer in pairwise(line):
        assert model_of(older).features - {"vme"} < model_of(newer).features | {"vme"}


def test_nothing_is_known_of_an_empty_text_and_of_architectures_without_models() -> None:
    assert features_of(check_cpu("a CPU", "")) is None
    assert described(frozenset({"v"}), Arch.RISCV64) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Skylake",
        "host",
        " ",
        "kvm64 sse",
        "kvm64  +sse",
        "kvm64 +",
        "kvm64 +Ä",
        5,
        "kvm64 +a" * 900,
    ],
)
def test_what_is_no_cpu_is_refused(text: object) -> None:
    with pytest.raises(Invalid) as caught:
        check_cpu("a CPU", text)
    assert caught.value.fix


def test_a_typo_is_answered_with_what_was_meant() -> None:
    with pytest.raises(Invalid, match=r"line 2.*no CPU model 'Skylake-Servr'") as caught:
        parse("billow-pool 1\nhost h nodes=(1,1GiB) cpu=Skylake-Servr")
    assert "Skylake-Server" in caught.value.fix


def test_a_pool_file_names_cpus_of_hosts_and_instances() -> None:
    text = (
        "billow-pool 1\n"
        "shape s cpu=1 memory=1GiB\n"
        'host h1 nodes=(4,8GiB) cpu="EPYC-Rome-v4 -xsaves"\n'
        "vm a s h1 running cpu=kvm64\n"
    )
    pool = parse(text)
    assert pool.host("h1").cpu_model == "EPYC-Rome-v4 -xsaves"
    assert pool.instance("a").cpu_model == "kvm64"
    assert render(pool) == text
