# SPDX-License-Identifier: Apache-2.0
"""`billow token`: who may ask, and for what."""

from enum import StrEnum
from typing import Annotated

import typer

from billow.cli.command import ASKS, command
from billow.cli.lists import path_of
from billow.cli.output import Column, when
from billow.cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Give and take tokens.")
LISTED = (
    Column("TOKEN", "id"),
    Column("FOR", "name"),
    Column("ROLE", "role"),
    Column("MADE", "created_at", when),
    Column("EXPIRES", "expires_at", when),
    Column("LAST USED", "last_used_at", when),
)


class RoleName(StrEnum):
    """What the bearer may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@command(app, "create")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="The person or program that it is for.")],
    role: Annotated[RoleName, typer.Option(help="What the bearer may do.")] = RoleName.VIEWER,
    days: Annotated[
        float | None, typer.Option(min=0.001, max=36500, help="How long it is good.")
    ] = None,
) -> None:
    """Make a token. It is printed this once; nobody can read it again."""
    body = {"name": name, "role": role.value, "ttl_s": days * 86400 if days else None}
    document = session.client.post("/v1/tokens", body)
    if session.output.as_json:
        session.output.document(document)
    else:
        session.output.text(document["token"])
        session.output.say(f"token {document['id']} for {name}, {role}; keep it, it is shown once")


@command(app, "list")
def list_tokens(session: Session) -> None:
    """List the tokens that are good."""
    document = session.client.get("/v1/tokens")
    if session.output.as_json:
        session.output.document(document)
    else:
        session.output.table(LISTED, document["items"])


@command(app, "revoke", ASKS)
def revoke(
    session: Session,
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="The token's id.")],
) -> None:
    """Make a token, and the sessions opened with it, worth nothing at once."""
    session.confirm(f"Revoke token {token_id}?")
    session.client.delete(path_of("tokens", token_id))
    session.output.say(f"token {token_id} opens nothing any more")
