# SPDX-License-Identifier: Apache-2.0
"""`billow down`: the pool of this machine goes, with all that runs in it."""

import typer

from billow.cli.command import NoInput, Yes
from billow.cli.output import standard
from billow.cli.session import Session
from billow.cli.up import Engine, State, settings_of


def add_to(root: typer.Typer) -> None:
    """Add the command that stands at the top."""

    @root.command("down")
    def down(
        engine: Engine = None,
        state: State = None,
        *,
        assume_yes: Yes = False,
        no_input: NoInput = False,
    ) -> None:
        """Remove the pool of this machine: its instances, networks and folders. No way back.

        Plans, runs and events are kept. Stop `billow up` first.
        """
        import asyncio

        from billow.app import remove_pool

        settings = settings_of({"engine": engine and engine.value, "state_dir": state})
        session = Session(standard(), assume_yes=assume_yes, may_ask=not no_input)
        session.confirm(f"remove the pool in {settings.state_dir} and every instance of it?")
        asyncio.run(remove_pool(settings))
        print(f"the pool in {settings.state_dir} is gone")
