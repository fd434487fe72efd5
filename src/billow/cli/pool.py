# SPDX-License-Identifier: Apache-2.0
"""`billow pool`: pools in files, without a control plane."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from billow.cli.output import Column, Output, standard, when
from billow.cli.words import cpus, memory
from billow.model.counting import extent

app = typer.Typer(no_args_is_help=True, help="Read, convert and name pools in files.")
File = Annotated[Path, typer.Argument(metavar="FILE", help="A pool in any known form.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


SUMMARY = (
    Column("POOL", "name"),
    Column("DIGEST", "digest"),
    Column("SEEN AT", "taken_at", when),
    Column("HOSTS", "hosts"),
    Column("BY POWER", "hosts_by_power"),
    Column("BY HEALTH", "hosts_by_health"),
    Column("INSTANCES", "instances"),
    Column("BY STATE", "instances_by_state"),
    Column("CPUS", "cpu_milli", cpus),
    Column("RESERVED CPUS", "reserved_cpu_milli", cpus),
    Column("MEMORY", "memory_mib", memory),
    Column("RESERVED MEMORY", "reserved_memory_mib", memory),
    Column("NOT SEEN", "not_seen"),
)


class FormName(StrEnum):
    """The forms in which a pool can be written."""

    TEXT = "text"
    JSON = "json"
    PACKED = "packed"


@app.command("import")
def import_pool(
    source: File,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where to; its end tells the form: .pool .json .packed."),
    ] = None,
    form: Annotated[FormName | None, typer.Option(help="The form, whatever the name says.")] = None,
) -> None:
    """Read a pool, such as a VM-to-host mapping, and write it as a pool's file or to stdout."""
    from billow.sense.files import PoolForm, bytes_of_pool, read_pool, write_pool

    pool = read_pool(source)
    if out is None:
        typer.get_binary_stream("stdout").write(bytes_of_pool(pool, PoolForm(form or "text")))
        return
    write_pool(pool, out, PoolForm(form) if form else None)
    standard().say(f"{out}: {extent(len(pool.hosts), len(pool.instances))}")


@app.command("show")
def show(source: File, *, as_json: Json = False) -> None:
    """Show the pool in a file in a few numbers."""
    output = standard(as_json=as_json)
    summary = _summary(source)
    if as_json:
        output.document(summary)
    else:
        record_pool(output, summary)


@app.command("digest")
def digest(source: File) -> None:
    """Print the digest of the pool in a file: the same state has the same digest."""
    from billow.sense.files import read_pool

    standard().text(read_pool(source).digest)


def record_pool(output: Output, summary: dict[str, Any]) -> None:
    """Print a pool's summary, a line per field."""
    reserved = {f"reserved_{name}": value for name, value in summary["reserved"].items()}
    gaps = {"not_seen": len(summary["gaps"])}
    output.record(SUMMARY, {**summary, **summary["capacity"], **reserved, **gaps})


def _summary(source: Path) -> dict[str, Any]:
    from billow.api.render import pool_summary
    from billow.sense.files import read_pool

    return pool_summary(source.name, read_pool(source))
