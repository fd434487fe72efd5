# SPDX-License-Identifier: Apache-2.0
"""`billow instance assess`: whether a move will end, what it takes and whom it slows down."""

from collections.abc import Iterator
from typing import Annotated

import typer

from billow.cli.command import command
from billow.cli.lists import path_of
from billow.cli.output import Document
from billow.cli.session import Session
from billow.cli.words import lasting, memory, percent

Name = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's name.")]
Target = Annotated[
    str, typer.Option("--target", "--to", help="The host; without it, placement chooses.")
]
_VERDICTS = {
    "converges": "it moves, and nobody is slowed down",
    "converges-with-limit": "it moves, if it is slowed down",
    "will-not": "it does not move while it writes like this",
}


def add_to(app: typer.Typer) -> None:
    """Add the command to those of instances."""

    @command(app, "assess")
    def assess(session: Session, instance: Name, target: Target = "") -> None:
        """Measure a move beforehand; nothing is changed. Takes seconds."""
        params = {"target": target} if target else {}
        answer = session.client.get(path_of("instances", instance, "assessment"), params)
        if session.output.as_json:
            session.output.document(answer)
        elif session.output.for_people:
            session.output.text("\n".join(sentences(answer)))
        else:
            session.output.lines(rows(answer))


def sentences(answer: Document) -> Iterator[str]:
    """Yield an assessment for people: the verdict first, then what it rests on."""
    chosen = answer["prediction"]
    where = f"{answer['instance']} from {answer['source']} to {answer['target']}"
    yield f"{answer['verdict']}: {_VERDICTS[answer['verdict']]} ({where})"
    yield _course(chosen) + ("" if answer["sure"] else "; near the limit: when is uncertain")
    for each, (vcpu, speed, limit) in enumerate(_vcpus(answer, chosen)):
        held = "" if limit is None else f", limit {limit:.0f} MiB/s"
        writes = f"writes {vcpu['dirty_mib_s']:.0f} MiB/s in {memory(vcpu['working_mib'])}"
        yield f"  vCPU {each}: {writes}; keeps {percent(speed)} of its speed{held}"
    if answer["disk_mib"]:
        yield f"disk: {memory(round(answer['disk_mib']))} of its own move along, before the memory"
    shared = f", shared by {answer['moves']} moves" if answer["moves"] > 1 else ""
    yield f"link: {answer['bandwidth_mib_s']:.0f} MiB/s{shared}"
    plain = answer["sure"] and answer["verdict"] == "converges"
    for other in () if plain else answer["others"]:
        yield f"otherwise, {_course(other)}"
    if answer["used"] != chosen["way"] and chosen["way"] != "pre-copy":
        yield f"note: the engine moves with {answer['used']} today"
    for gap in answer["gaps"]:
        yield f"note: {gap}"


def rows(answer: Document) -> Iterator[tuple[str, ...]]:
    """Yield an assessment as lines of cells."""
    yield "verdict", answer["verdict"], "sure" if answer["sure"] else "unsure"
    for each in (answer["prediction"], *answer["others"]):
        yield (
            "way",
            each["way"],
            *map(_cell, (each["seconds"], each["downtime_s"], each["sent_mib"])),
        )
    for each, (vcpu, speed, limit) in enumerate(_vcpus(answer, answer["prediction"])):
        figures = (vcpu["dirty_mib_s"], vcpu["working_mib"], speed, limit)
        yield "vcpu", str(each), *map(_cell, figures)
    if answer["disk_mib"]:
        yield "disk", str(answer["disk_mib"])
    yield "link", str(answer["bandwidth_mib_s"]), str(answer["moves"])
    for gap in answer["gaps"]:
        yield "gap", gap


def _cell(value: float | None) -> str:
    return "" if value is None else str(value)


def _course(prediction: Document) -> str:
    if not prediction["ends"]:
        return f"{prediction['way']}: does not end"
    sent = memory(round(prediction["sent_mib"]))
    still = f"{1000 * prediction['downtime_s']:.0f} ms standstill"
    return f"{prediction['way']}: {lasting(prediction['seconds'])}, {still}, {sent} sent"


def _vcpus(
    answer: Document, prediction: Document
) -> Iterator[tuple[Document, float, float | None]]:
    return zip(answer["vcpus"], prediction["speeds"], prediction["limits_mib_s"], strict=True)
