# SPDX-License-Identifier: Apache-2.0
"""`billow agent`: become the light process of a host, without the rest of Billow in memory."""

import os
import sys

import typer

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def add_to(root: typer.Typer) -> None:
    """Add the command that stands at the top."""

    @root.command("agent", context_settings=_PASSED_ON, add_help_option=False)
    def agent(context: typer.Context) -> None:
        """Say that this host lives, what ails it, and obey when told to end it.

        `billow agent token HOST`, where the control plane runs, makes a token for a host (it is
        `billow host enrol`); on the host `billow agent enrol URL TOKEN` gets its certificate,
        `billow agent --check` says
        what can be looked at here, `billow agent --help` names the options.
        """
        if context.args[:1] == ["token"]:
            words = ["host", "enrol", *context.args[1:]]
            context.find_root().command.main(words, standalone_mode=False)
            return
        command = [sys.executable, "-m", "billow.agent", *context.args]
        os.execv(sys.executable, command)  # noqa: S606 (itself, and without a shell)
