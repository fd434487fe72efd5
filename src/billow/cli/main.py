# SPDX-License-Identifier: Apache-2.0
"""The command `billow`: its commands, and how it ends.

It ends with 0 when done, 1 when failed, 2 when misused, 3 when `--exit-code` asked and changes are
pending, 4 when the plan or the digest is stale, 5 when blocked.
"""

import sys
from typing import Annotated

import typer

from billow import __version__
from billow.cli import (
    agent,
    assess,
    cpu_baseline,
    demo,
    doctor,
    down,
    enrol,
    event,
    ha,
    host,
    incident,
    instance,
    migration,
    openstack,
    plan,
    policy,
    pool,
    report,
    run,
    sim,
    token,
    up,
    watch,
)
from billow.cli.output import clean
from billow.errors import BillowError

app = typer.Typer(
    name="billow",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See a whole pool, plan a change to it, read the plan, apply it safely.",
)
for part in (up, down, agent, demo, doctor, report, policy, run, watch):
    part.add_to(app)
assess.add_to(instance.app)
cpu_baseline.add_to(pool.app)
ha.add_to(host.app)
enrol.add_to(host.app)
app.add_typer(host.app, name="host")
app.add_typer(instance.app, name="instance")
app.add_typer(plan.app, name="plan")
app.add_typer(pool.app, name="pool")
app.add_typer(run.app, name="run")
app.add_typer(migration.app, name="migration")
app.add_typer(incident.app, name="incident")
app.add_typer(ha.app, name="ha")
app.add_typer(sim.app, name="sim")
app.add_typer(openstack.app, name="openstack")
app.add_typer(event.app, name="event")
app.add_typer(token.app, name="token")


def _version(wanted: bool) -> None:  # noqa: FBT001 (Typer calls it so)
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def billow(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See a whole pool, plan a change to it, read the plan, apply it safely."""


def main() -> None:
    """Run the command line and end the process."""
    try:
        app(prog_name="billow")
    except BillowError as error:
        for line in str(error).splitlines():
            print(clean(line), file=sys.stderr)
        sys.exit(error.exit_code)
