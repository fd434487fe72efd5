# SPDX-License-Identifier: Apache-2.0
"""`billow sim`: let hosts of a simulated pool fail, while a control plane runs on it."""

from typing import Annotated

import typer

from billow.cli.up import State, settings_of

app = typer.Typer(no_args_is_help=True, help="Let hosts of a simulated pool fail.")
Line = Annotated[
    list[str],
    typer.Argument(
        metavar="WHOM WHAT...",
        help='As in "host h3 loses storage", "rack r1 goes dark", "host h3 bmc dies".',
    ),
]


@app.command("fault")
def fault(line: Line, state: State = None) -> None:
    """Let a fault befall a host, a rack, a zone, all hosts or an observer, now.

    WHOM: host NAME, rack NAME, zone NAME, all, observer NAME.

    WHAT: loses or regains (management, tenant, storage, everything), freezes, thaws, crashes,
    gasps, goes dark, comes up, heals; agent (dies, hangs, starts); bmc (dies, lies, is another's,
    answers after S); hardware (sound, predicted, hurting, fatal); lease S.
    """
    from billow.act.clock import SystemClock
    from billow.engines.sim.fault import Fault
    from billow.engines.sim.keep import strike
    from billow.engines.sim.open import WORLD_FILE

    settings = settings_of({"engine": "sim", "state_dir": state})
    wanted = Fault.parse(" ".join(line))
    befallen = strike(settings.state_dir / WORLD_FILE, wanted, SystemClock().now())
    print(f"{wanted}: {', '.join(befallen)}")
