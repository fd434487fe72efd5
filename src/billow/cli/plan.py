# SPDX-License-Identifier: Apache-2.0
"""`billow plan`: make plans, read them, compare, and ask why something is not possible.

`billow plan CAPABILITY` is `billow plan make CAPABILITY`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from billow.cli.change import show_plan
from billow.cli.command import command
from billow.cli.lists import Limit, path_of, show_list
from billow.cli.output import Column, when
from billow.cli.session import Session
from billow.cli.wanted import group_of, knobs_of, request_of, requests_in

HELP = frozenset({"-h", "--help"})
CHANGES_PENDING = 3
BLOCKED = 5


class PlanGroup(TyperGroup):
    """The commands of `billow plan`, among which every capability counts as one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (Typer's own)
        """Take a word that is no command for the name of a capability; its help has its knobs."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            if HELP & set(args[1:]):
                _tell_knobs(args[0])
            args = ["make", *args]
        return super().parse_args(ctx, args)


def _tell_knobs(capability: str) -> None:
    """Print what a capability is for and its knobs. Raises NotFound."""
    from billow.cli.offline import capability_here
    from billow.cli.output import standard
    from billow.cli.policy import print_knobs

    known = capability_here(capability)
    output = standard()
    output.text(f"{capability}: {known['about']}. Its knobs, for --set KNOB=VALUE:")
    print_knobs(output, known)


app = typer.Typer(
    no_args_is_help=True, cls=PlanGroup, help="Make plans, read them, and ask why not."
)
Name = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id.")]
Policy = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "--policy", "-p", metavar="K=V", help="A knob of the capability; again for more."
    ),
]
Requests = Annotated[
    list[str] | None,
    typer.Option(
        "--request",
        "-r",
        metavar="NAME,K=V,...",
        help="A new instance, as web-1,cpu=2,memory=4GiB; again for more.",
    ),
]
RequestFile = Annotated[
    Path | None, typer.Option("--requests", help="A JSON file with a list of requests.")
]
Groups = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="NAME:RULE:SCOPE", help="A group that the requests name."),
]
PoolFile = Annotated[
    Path | None,
    typer.Option("--pool", "--pool-file", help="Plan for the pool in a file, without a server."),
]
ExitCode = Annotated[
    bool,
    typer.Option("--exit-code", help="End with 3 when the plan has steps, 5 when none can be."),
]

LISTED = (
    Column("PLAN", "id"),
    Column("STATUS", "status"),
    Column("BY", "actor"),
    Column("MADE", "created_at", when),
    Column("STEPS", "steps", right=True),
    Column("NOT POSSIBLE", "rejections", right=True),
    Column("RUN", "run_id"),
    Column("FOR", "title"),
)


@command(app, "make")
def make(  # noqa: PLR0913 PLR0917 (each is an option of the command)
    session: Session,
    capability: Annotated[str, typer.Argument(help="As `placement`.")],
    policy: Policy = None,
    request: Requests = None,
    requests: RequestFile = None,
    group: Groups = None,
    pool: PoolFile = None,
    *,
    exit_code: ExitCode = False,
) -> None:
    """Make a plan and show it. Nothing is changed; `billow plan placement` says the same."""
    wanted = [request_of(each) for each in request or ()]
    body = {
        "capability": capability,
        "policy": knobs_of(policy or ()),
        "requests": wanted + (requests_in(requests) if requests else []),
        "groups": [group_of(each) for each in group or ()],
    }
    if pool is not None:
        from billow.cli.offline import plan_for

        steps, rejections = plan_for(session, pool, body)
    else:
        plan = session.client.post("/v1/plans", body)
        show_plan(session, plan)
        steps, rejections = len(plan["steps"]), len(plan["rejections"])
    if exit_code and (steps or rejections):
        raise typer.Exit(CHANGES_PENDING if steps else BLOCKED)


@command(app, "list")
def list_plans(session: Session, limit: Limit = None) -> None:
    """List plans, newest first."""
    show_list(session, "/v1/plans", {}, LISTED, limit)


@command(app, "show")
def show(session: Session, plan: Name) -> None:
    """Show a plan: what changes, why, what it costs, what is not possible, how to undo it."""
    document = session.client.get(path_of("plans", plan))
    show_plan(session, document)
    if not document["pool_unchanged"]:
        session.output.say("the pool has changed since this plan was made; it may be stale")


@command(app, "diff")
def diff(session: Session, plan: Name) -> None:
    """Show the difference of the pool before and after, a line per host or instance."""
    session.output.text(session.client.text(path_of("plans", plan, "diff")))


@command(app, "why-not")
def why_not(
    session: Session,
    plan: Annotated[str, typer.Argument(metavar="[PLAN]", help="A plan's id.")] = "",
    request: Annotated[
        str, typer.Option("--request", "-r", metavar="NAME,K=V,...", help="Or a new instance.")
    ] = "",
) -> None:
    """Say what stands in the way of a request, or of what a plan could not do."""
    if bool(plan) == bool(request):
        raise typer.BadParameter("give the id of a plan, or --request")
    if plan:
        rejections = session.client.get(path_of("plans", plan))["rejections"]
    else:
        answer = session.client.post("/v1/why-not", {"request": request_of(request)})
        rejections = answer["rejections"]
    if session.output.as_json:
        session.output.document({"rejections": rejections})
        return
    for each in rejections:
        session.output.text(f"{each['subject']}: {each['reason']}")
        session.output.text("\n".join(f"  - {cause}" for cause in each["causes"]))
        session.output.text(f"  fix: {each['fix']}" if each["fix"] else "")
    if not rejections:
        session.output.say("nothing stands in the way")
