# SPDX-License-Identifier: Apache-2.0
"""`billow pool cpu-baseline`: the best model first, then who is in the way of better ones."""

from billow.api.cpu_baseline import CpuBaselines, cpu_baselines_document
from billow.cli.cpu_baseline import rows, sentences
from billow.model.kinds import Arch
from billow.model.text import parse

POOL = parse(
    """billow-pool 1
    shape s cpu=1 memory=1GiB
    host h[1-5] nodes=(4,8GiB) cpu="Icelake-Server-v4 -pku"
    host o1 nodes=(4,8GiB) cpu="Skylake-Server-v3 -pku"
    host u1 nodes=(4,8GiB)
    vm bound s h1 running cpu=Icelake-Server-v3
    """
)
ANSWER = cpu_baselines_document(POOL, None)


def test_the_answer_is_what_the_schema_says() -> None:
    answer = CpuBaselines.model_validate(ANSWER)
    assert answer.digest == POOL.digest
    (item,) = answer.items
    assert (item.arch, item.vendor, item.hosts, item.unknown) == (Arch.X86_64, "intel", 6, 1)
    assert item.better[0].in_the_way[0].lacks == ["pku"]


def test_people_read_the_nearest_of_each_family() -> None:
    said = list(sentences(ANSWER, every=False))
    more = "+avx512bw +avx512cd +avx512dq +avx512f +avx512vl +clwb +pdpe1gb"
    assert said[:3] == [
        "x86_64 intel: 6 hosts, 1 more whose CPU is not known",
        "  all can give: Skylake-Client-v3",
        f"  all they have in common: Skylake-Client-v3 {more}",
    ]
    assert said[3] == "  1 instance could not run on every one of them"
    assert said[4] == "  in the way of Skylake-Server-v3 (+8):"
    assert said[5] == "    h1, h2, h3 and 2 more (Icelake-Server-v4): no pku"
    assert said[6] == "    o1 (Skylake-Server-v3): no pku"
    assert any(line.endswith(" more") for line in said[7:])
    everything = list(sentences(ANSWER, every=True))
    assert len(everything) > len(said)
    assert not any(line.endswith(" more") for line in everything)


def test_a_pipe_gets_lines_of_cells() -> None:
    lines = list(rows(ANSWER))
    assert lines[0][:5] == ("baseline", "x86_64", "intel", "Skylake-Client-v3", "6")
    assert lines[1] == (
        *("lacks", "x86_64", "intel", "Skylake-Server-v3", "5"),
        *("Icelake-Server-v4 -pku", "pku"),
    )


def test_nothing_known_and_nobody_there() -> None:
    blind = cpu_baselines_document(parse("billow-pool 1\nhost h nodes=(4,8GiB)"), None)
    assert list(sentences(blind, every=False)) == ["x86_64: 0 hosts, 1 more whose CPU is not known"]
    nobody = cpu_baselines_document(POOL, Arch.RISCV64)
    assert list(sentences(nobody, every=False)) == ["no host is of that instruction set"]
