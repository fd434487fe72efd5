# SPDX-License-Identifier: Apache-2.0
"""`billow openstack`: see a cloud at first sight, and come from other tools. Nothing is changed."""

from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billow.cli.output import Output, standard
from billow.errors import Invalid

if TYPE_CHECKING:
    from billow.model.plan import Finding
    from billow.model.pool import Pool
    from billow.openstack.imported import Imported
    from billow.openstack.overview import Overview

app = typer.Typer(no_args_is_help=True, help="See an OpenStack cloud; come from other tools.")
Cloud = Annotated[
    str,
    typer.Option(
        "--cloud",
        envvar="OS_CLOUD",
        help="Its name in clouds.yaml; without one, OS_AUTH_URL and the like say which.",
    ),
]
Metrics = Annotated[
    str, typer.Option("--metrics-url", help="A Prometheus that knows the real use of hosts.")
]
PoolFile = Annotated[
    Path | None,
    typer.Option("--pool", "--pool-file", help="Of the pool in a file, without any cloud."),
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Write it to this file, which needs no other one.")
]
Moves = Annotated[
    int | None, typer.Option("--moves", min=1, help="Migrations that a plan may have at most.")
]
Full = Annotated[bool, typer.Option("--full", help="Print all tables and pictures.")]
Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILES...]", help="What was exported; without any, the cloud is asked."
    ),
]
BesidePool = Annotated[
    Path | None,
    typer.Option("--pool", "--pool-file", help="Compare with the pool in a file: hosts, zones."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write TOML to this file.")]


@app.command("report")
def report(  # noqa: PLR0913 - each option is a word of the command line
    cloud: Cloud = "",
    metrics_url: Metrics = "",
    pool: PoolFile = None,
    html: Html = None,
    moves: Moves = None,
    *,
    full: Full = False,
    as_json: Json = False,
) -> None:
    """Look at a cloud once and say how it is: within a minute, without agents or a database.

    A heat map, what would fit, fragmentation, hot hosts, whose death it would not survive, what a
    plan would win, what leaks and what could not be seen. It only reads.
    """
    output = standard(as_json=as_json)
    begun = monotonic()
    seen, amiss = (_file(pool), ()) if pool else _cloud(cloud, metrics_url, output)
    looked = monotonic()
    view = _thought(seen, amiss, pool.name if pool else cloud, moves)
    took_s = {"look": looked - begun, "think": monotonic() - looked}
    if html is not None:
        from billow.openstack.page import page

        _save(html, page(view, took_s))
        output.say(f"{html}: open it in a browser, or send it around")
    _show(output, view, took_s, full=full)


@app.command("import-masakari")
def import_masakari(
    files: Files = None,
    cloud: Cloud = "",
    pool: BesidePool = None,
    out: Out = None,
    *,
    as_json: Json = False,
) -> None:
    """Turn Masakari's segments, hosts and settings into Billow's, with what has no equivalent.

    FILES: `openstack segment list -f json`, `openstack segment host list SEGMENT -f json`, answers
    of the API, as JSON or YAML; masakari.conf and masakarimonitors.conf as they are.
    """
    from billow.openstack.exported import CONF, conf_in, rows_in
    from billow.openstack.masakari import from_masakari

    settings = [path for path in files or () if path.suffix in CONF]
    exports = [path for path in files or () if path.suffix not in CONF]
    conf = {key: each for path in settings for key, each in conf_in(path).items()}
    rows = [row for path in exports for row in rows_in(path)]
    rows = rows if files else _rows("masakari", cloud)
    _give(from_masakari(rows, conf, _file(pool) if pool else None), out, as_json=as_json)


@app.command("import-watcher")
def import_watcher(
    files: Files = None, cloud: Cloud = "", out: Out = None, *, as_json: Json = False
) -> None:
    """Turn Watcher's audits and audit templates into policies, with what has no equivalent.

    FILES: `openstack optimize audittemplate list --detail -f json`, `openstack optimize audit list
    --detail -f json`, or answers of the API, as JSON or YAML.
    """
    from billow.openstack.exported import rows_in
    from billow.openstack.watcher import from_watcher

    rows = [row for path in files or () for row in rows_in(path)]
    _give(from_watcher(rows if files else _rows("watcher", cloud)), out, as_json=as_json)


def _rows(name: str, cloud: str) -> list[Mapping[str, Any]]:
    """Ask a cloud for what Masakari or Watcher knows."""
    import asyncio

    from billow.cli.up import settings_of
    from billow.engines.openstack.cloud import Cloud
    from billow.openstack.asked import masakari_rows, watcher_rows

    ask = {"masakari": masakari_rows, "watcher": watcher_rows}[name]

    async def asked() -> list[Mapping[str, Any]]:
        there = Cloud.of(settings_of({"cloud": cloud or None}))
        try:
            return await ask(there)
        finally:
            await there.aclose()

    return asyncio.run(asked())


def _give(found: "Imported", out: Path | None, *, as_json: bool) -> None:
    """Print what was imported, or write it to a file."""
    from billow.cli.offline import known_here
    from billow.openstack.imported import checked, imported_document, toml

    output = standard(as_json=as_json)
    checked(found, known_here())
    if out is not None:
        _save(out, toml(found))
        output.say(f"{out}: read it, then let billow.toml hold it")
    elif as_json:
        output.document(imported_document(found))
    else:
        output.text(toml(found))


def _file(path: Path) -> "Pool":
    from billow.sense.files import read_pool

    return read_pool(path)


def _cloud(cloud: str, metrics_url: str, output: Output) -> "tuple[Pool, tuple[Finding, ...]]":
    """Look at a cloud, and hold its books against each other."""
    import asyncio

    from billow.engines.openstack.open import look

    async def both() -> "tuple[Pool, tuple[Finding, ...]]":
        seen = look(cloud=cloud, metrics_url=metrics_url)
        return await asyncio.gather(seen, _amiss(cloud))

    output.say(f"looking at {cloud or 'the cloud of the environment'}, reading only")
    return asyncio.run(both())


async def _amiss(cloud: str) -> "tuple[Finding, ...]":
    """Return what leaks and what was left half done, or that it could not be told."""
    from billow.act.clock import SystemClock
    from billow.cli.up import settings_of
    from billow.engines.openstack.cloud import Cloud
    from billow.engines.openstack.recover.survey import Survey
    from billow.errors import BillowError
    from billow.model.plan import Finding, Severity

    there = Cloud.of(settings_of({"cloud": cloud or None}))
    try:
        found = await Survey(there, SystemClock()).ailments()
        return tuple(each.finding for each in found)
    except BillowError as error:
        text = f"whether anything leaks could not be told: {error.brief}"
        return (Finding("pool", Severity.WARNING, text),)
    finally:
        await there.aclose()


def _thought(
    pool: "Pool", findings: "tuple[Finding, ...]", name: str, moves: int | None
) -> "Overview":
    from billow.cli.offline import known_here
    from billow.openstack.overview import overview

    return overview(pool, known_here(), name=name, findings=findings, moves=moves)


def _save(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Invalid(
            f"the file {str(path)!a} cannot be written",
            (str(error),),
            fix="check the path and the rights",
        ) from None


def _show(output: Output, view: "Overview", took_s: Mapping[str, float], *, full: bool) -> None:
    from billow.cli.overview_page import overview_lines, print_overview
    from billow.openstack.document import overview_document

    answer = overview_document(view, took_s)
    if output.as_json:
        output.document(answer)
    elif output.for_people:
        print_overview(output, answer, full=full)
    else:
        output.lines(overview_lines(answer))
