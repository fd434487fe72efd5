# SPDX-License-Identifier: Apache-2.0
"""How a function becomes a command: every command takes the same options besides its own."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeAlias, cast

import typer

from billow.cli.output import standard
from billow.cli.session import Session

Own = ParamSpec("Own")
_SHARED = "Common options"

Url = Annotated[
    str,
    typer.Option(
        envvar="BILLOW_URL", help="Address of the control plane.", rich_help_panel=_SHARED
    ),
]
Token = Annotated[
    str,
    typer.Option(
        envvar="BILLOW_TOKEN",
        help="Who asks; better as BILLOW_TOKEN than here, where others can see it.",
        show_envvar=False,
        rich_help_panel=_SHARED,
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        envvar="BILLOW_STATE_DIR",
        help="State folder of a control plane on this machine.",
        rich_help_panel=_SHARED,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the API's document.", rich_help_panel=_SHARED)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a change.")]
NoInput = Annotated[bool, typer.Option("--no-input", help="Never ask; fail instead.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]

Options: TypeAlias = dict[str, tuple[Any, object]]
"""What options a kind of command has: by the name in `Session`, the annotation and the default."""

ASKS: Options = {"assume_yes": (Yes, False), "no_input": (NoInput, False)}
"""For commands that ask before they change something."""
WAITS: Options = {"wait": (Wait, True)}
"""For commands that start a run."""
PLANS: Options = {**ASKS, **WAITS, "dry_run": (DryRun, False)}
"""For commands that make a plan and carry it out."""
_ALL: Options = {
    "url": (Url, ""),
    "token": (Token, ""),
    "state": (State, None),
    "as_json": (Json, False),
}


def command(
    app: typer.Typer, name: str, options: Options | None = None
) -> Callable[[Callable[Concatenate[Session, Own], None]], Callable[..., None]]:
    """Register a function as a command; its first parameter is the session."""
    shared = {**(options or {}), **_ALL}

    def register(function: Callable[Concatenate[Session, Own], None]) -> Callable[..., None]:
        def run(**given: Any) -> None:  # noqa: ANN401 (Typer has checked each by its annotation)
            session = _session({name: given.pop(name) for name in shared})
            cast("Callable[..., None]", function)(session, **given)

        signature = inspect.signature(function, eval_str=True)
        parameters = [*list(signature.parameters.values())[1:], *_parameters(shared)]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__doc__ = function.__doc__
        app.command(name)(run)
        return run

    return register


def _parameters(options: Options) -> list[inspect.Parameter]:
    only = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, only, annotation=kind, default=default)
        for name, (kind, default) in options.items()
    ]


def _session(shared: dict[str, Any]) -> Session:
    output = standard(as_json=shared.pop("as_json"))
    may_ask = not shared.pop("no_input", False)
    return Session(output, may_ask=may_ask, **shared)
