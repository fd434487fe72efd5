# SPDX-License-Identifier: Apache-2.0
"""`billow instance assess`: the verdict comes first, then the figures it rests on."""

from billow.api.assessments import assessment_document
from billow.cli.assess import rows, sentences
from billow.model.assessment import Assessment, Guest, Link, Way, Writer
from billow.plan.convergence import outlook
from billow.plan.shares import limits


def found(dirty_mib_s: float, *, gaps: tuple[str, ...] = ()) -> Assessment:
    writers = (
        Writer(dirty_mib_s=dirty_mib_s, working_mib=128.0),
        Writer(dirty_mib_s=2.0, working_mib=1.0),
    )
    return Assessment(
        instance="web-1", source="h1", target="h2", taken_at=0.0, ways=tuple(Way), gaps=gaps,
        guest=Guest(memory_mib=256.0, writers=writers), used=Way.AUTO_CONVERGE,
        link=Link(bandwidth_mib_s=100.0, moves=1),
    )  # fmt: skip


def told(assessment: Assessment) -> list[str]:
    return list(sentences(assessment_document(assessment, outlook(assessment))))


def test_a_quiet_instance_just_moves() -> None:
    said = told(found(10.0))
    assert said[0] == ("converges: it moves, and nobody is slowed down (web-1 from h1 to h2)")
    assert said[1].startswith("pre-copy: ")
    assert "uncertain" not in said[1]
    assert said[2].endswith("keeps 100% of its speed")
    assert not any(line.startswith("otherwise") for line in said)


def test_only_the_writer_is_slowed_down() -> None:
    said = told(found(200.0))
    assert said[0].startswith("converges-with-limit: ")
    assert said[1].startswith("dirty-limit: ")
    assert said[2].startswith("  vCPU 0: writes 200 MiB/s in 128 MiB; keeps ")
    assert said[2].endswith(f"limit {limits((200.0, 2.0), 100.0)[0]:.0f} MiB/s")
    assert said[3].endswith("keeps 100% of its speed")
    assert "otherwise, pre-copy: does not end" in said
    assert "note: the engine moves with auto-converge today" in said


def test_near_the_limit_it_says_so_and_gaps_are_told() -> None:
    said = told(found(85.0, gaps=("no dirty ring",)))
    assert said[1].endswith("; near the limit: when is uncertain")
    assert said[-1] == "note: no dirty ring"


def test_a_pipe_gets_lines_of_cells() -> None:
    assessment = found(200.0)
    lines = list(rows(assessment_document(assessment, outlook(assessment))))
    assert lines[0] == ("verdict", "converges-with-limit", "sure")
    assert lines[1][:2] == ("way", "dirty-limit")
    assert lines[2][:4] == ("way", "pre-copy", "", "")
    assert ("link", "100.0", "1") in lines
