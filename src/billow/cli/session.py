# SPDX-License-Identifier: Apache-2.0
"""What every command has at hand: the control plane that it asks, its output, its manners."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from billow.cli.output import Output
from billow.errors import Blocked
from billow.state_folder import default_state_dir

if TYPE_CHECKING:
    from billow.cli.client import Client

DEFAULT_URL = "http://127.0.0.1:8520"
ADDRESS_FILE = "url"
TOKEN_FILE = "token"  # noqa: S105 (the name of a file)


@dataclass(frozen=True)
class Session:
    """One invocation of the command line.

    Attributes:
        url, token: As given; empty looks in the state folder.
        state: The state folder of a control plane on this machine.
        assume_yes: Do not ask before a change.
        may_ask: Whether a person is there to answer.
        wait: Follow a run to its end.
        dry_run: Show a plan and change nothing.
    """

    output: Output
    url: str = ""
    token: str = ""
    state: Path | None = None
    assume_yes: bool = False
    may_ask: bool = True
    wait: bool = True
    dry_run: bool = False

    @cached_property
    def client(self) -> "Client":
        """The control plane."""
        from billow.cli.client import Client

        folder = self.folder
        url = self.url or read_word(folder / ADDRESS_FILE) or DEFAULT_URL
        # A token that lies on this machine is for the control plane of this machine only.
        token = self.token or ("" if self.url else read_word(folder / TOKEN_FILE))
        return Client(url, token, self.output.say)

    @property
    def folder(self) -> Path:
        """The state folder."""
        return self.state or default_state_dir()

    def confirm(self, question: str) -> None:
        """Ask before a change. Raises Blocked when the answer is no or nobody can answer."""
        if self.assume_yes:
            return
        if not self.may_ask or not sys.stdin.isatty():
            raise Blocked(
                "nobody is there to say yes", fix="say it with --yes", code="not-confirmed"
            )
        if not typer.confirm(question, default=False, err=True):
            raise Blocked("not confirmed; nothing was changed", code="not-confirmed")


def read_word(path: Path) -> str:
    """Return what a small file holds, empty when it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()[:1000]
    except OSError:
        return ""
