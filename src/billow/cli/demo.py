# SPDX-License-Identifier: Apache-2.0
"""`billow demo`: a simulated pool, a plan for it, and the plan carried out; nothing else."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from billow.cli.output import Output, standard
from billow.cli.up import settings_of

if TYPE_CHECKING:
    from billow.model.instance import Instance

SIZES = ((1000, 1024), (2000, 4096), (4000, 8192), (8000, 16384))
"""Thousandths of a CPU and MiB of the instances, in turn."""


def add_to(root: typer.Typer) -> None:
    """Add the command that stands at the top."""

    @root.command("demo")
    def demo(
        hosts: Annotated[int, typer.Option(min=1, max=10_000, help="Hosts.")] = 6,
        instances: Annotated[int, typer.Option(min=1, max=100_000, help="Instances.")] = 12,
    ) -> None:
        """Simulate a pool, plan instances for it, and carry the plan out."""
        import asyncio

        with tempfile.TemporaryDirectory(prefix="billow-demo-") as folder:
            asyncio.run(_demo(Path(folder), hosts, instances, standard()))


async def _demo(folder: Path, hosts: int, instances: int, output: Output) -> None:
    from billow.app import open_billow
    from billow.plan import explain

    given = {"engine": "sim", "hosts": hosts, "state_dir": folder, "port": 0, "speed": 60.0}
    billow = await open_billow(settings_of(given))
    try:
        plan = await billow.propose("placement", {}, requests=_requests(instances), actor="demo")
        output.text(explain.text(await billow.base_of(plan.id), plan))
        run = await billow.apply(plan.id, actor="demo")
        output.say(f"run {run.id} is under way in the simulation")
        run = await billow.wait(run.id)
        output.say(f"run {run.id}: {run.state}. Now try `billow up` for real virtual machines.")
    finally:
        await billow.aclose()


def _requests(count: int) -> "list[Instance]":
    from billow.model.instance import Instance
    from billow.model.shape import Shape

    shapes = [Shape(f"c{cpu}-m{memory}", cpu, memory) for cpu, memory in SIZES]
    return [Instance(f"web-{number + 1}", shapes[number % len(shapes)]) for number in range(count)]
