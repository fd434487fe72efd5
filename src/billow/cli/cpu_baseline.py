# SPDX-License-Identifier: Apache-2.0
"""`billow pool cpu-baseline`: the CPU that all hosts have, and who is in the way of better ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from billow.cli.command import command
from billow.cli.output import Document
from billow.cli.session import Session
from billow.model.counting import counted
from billow.model.kinds import Arch

Only = Annotated[Arch | None, typer.Option("--arch", help="Of this instruction set only.")]
PoolFile = Annotated[
    Path | None, typer.Option("--pool", "--pool-file", help="Of the pool in a file.")
]
NEAREST, FEW, MANY = 6, 8, 1000
"""Families of better models, and features that a host lacks, that are shown; and all of them."""
Every = Annotated[
    bool, typer.Option("--all", help="Every better model and feature, not the nearest ones only.")
]


def add_to(app: typer.Typer) -> None:
    """Add the command to those of pools."""

    @command(app, "cpu-baseline")
    def cpu_baseline(
        session: Session, arch: Only = None, pool: PoolFile = None, *, every: Every = False
    ) -> None:
        """Name the best CPU that all hosts can give, and what each better one lacks where."""
        answer = asked(session, pool, arch)
        if session.output.as_json:
            session.output.document(answer)
        elif session.output.for_people:
            session.output.text("\n".join(sentences(answer, every=every)))
        else:
            session.output.lines(rows(answer))


def asked(session: Session, pool: Path | None, arch: Arch | None) -> Document:
    """Return the answer of the control plane, or of the pool in a file."""
    if pool is None:
        params = {"arch": arch.value} if arch else {}
        return session.client.get("/v1/pool/cpu-baseline", params)
    from billow.api.cpu_baseline import cpu_baselines_document
    from billow.sense.files import read_pool

    return cpu_baselines_document(read_pool(pool), arch)


def sentences(answer: Document, *, every: bool) -> Iterator[str]:
    """Yield the baselines for people."""
    if not answer["items"]:
        yield "no host is of that instruction set"
    for item in answer["items"]:
        yield from _baseline(item)
        nearest = {better["family"]: better for better in reversed(item["better"])}
        shown = [each for each in item["better"] if nearest[each["family"]] is each][:NEAREST]
        for better in item["better"] if every else shown:
            yield from _better(better, MANY if every else FEW)


def _baseline(item: Document) -> Iterator[str]:
    where = " ".join(filter(None, (item["arch"], item["vendor"])))
    unknown = f", {item['unknown']} more whose CPU is not known" if item["unknown"] else ""
    yield f"{where}: {counted(item['hosts'], 'host')}{unknown}"
    if not item["hosts"]:
        return
    yield f"  all can give: {item['model'] or 'no model that is known'}"
    if item["common"] != item["model"]:
        yield f"  all they have in common: {item['common']}"
    if item["bound"]:
        noun = "instance" if item["bound"] == 1 else "instances"
        yield f"  {item['bound']} {noun} could not run on every one of them"


def _better(better: Document, most: int) -> Iterator[str]:
    yield f"  in the way of {better['model']} (+{better['gains']}):"
    for kind in better["in_the_way"]:
        names = ", ".join(kind["examples"])
        more = kind["hosts"] - len(kind["examples"])
        named = f"{names} and {more} more" if more else names
        over = len(kind["lacks"]) - most
        rest = f" and {over} more" if over > 0 else ""
        lacks = ", ".join(kind["lacks"][:most]) + rest
        yield f"    {named} ({kind['cpu_model'].partition(' ')[0]}): no {lacks}"


def rows(answer: Document) -> Iterator[tuple[str, ...]]:
    """Yield the baselines as lines of cells."""
    for item in answer["items"]:
        head = item["arch"], item["vendor"]
        yield "baseline", *head, item["model"], str(item["hosts"]), item["common"]
        for better in item["better"]:
            for kind in better["in_the_way"]:
                lacks = ",".join(kind["lacks"])
                yield "lacks", *head, better["model"], str(kind["hosts"]), kind["cpu_model"], lacks
