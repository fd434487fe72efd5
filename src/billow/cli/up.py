# SPDX-License-Identifier: Apache-2.0
"""`billow up` and `billow serve`: the control plane and the console, in this process."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billow.cli.session import ADDRESS_FILE, TOKEN_FILE, read_word
from billow.errors import Invalid
from billow.model.counting import extent

if TYPE_CHECKING:
    from billow.app import Billow
    from billow.model.pool import Pool
    from billow.settings import Settings


_FIX = "the reference names all settings, `./dev docs` builds it; billow.toml has the same names"
MOST_GAPS = 8
"""How many gaps are told at the start."""


class EngineName(StrEnum):
    """Where the pool lives."""

    SIM = "sim"
    QEMU = "qemu"
    OPENSTACK = "openstack"


Engine = Annotated[EngineName | None, typer.Option(help="Where the pool lives. [default: qemu]")]
Hosts = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="Hosts of the pool. [default: 3]")
]
State = Annotated[Path | None, typer.Option(help="Folder for everything that must survive.")]
Listen = Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one. [default: 8520]"),
]
PoolFile = Annotated[
    Path | None, typer.Option("--pool", help="File with the pool that the engine sim begins with.")
]
Speed = Annotated[
    float | None, typer.Option(help="Simulated seconds per second, for the engine sim.")
]
AllowChanges = Annotated[
    bool | None,
    typer.Option(
        "--allow-changes/--read-only",
        help="Whether the engine openstack may change its cloud. [default: read-only]",
    ),
]


def add_to(root: typer.Typer) -> None:
    """Add the commands that stand at the top."""

    @root.command("up")
    def up(  # noqa: PLR0913, PLR0917 (each is an option of the command)
        engine: Engine = None,
        hosts: Hosts = None,
        state: State = None,
        listen: Listen = None,
        port: Port = None,
        pool: PoolFile = None,
        speed: Speed = None,
        allow_changes: AllowChanges = None,
    ) -> None:
        """Start a cloud on this machine: control plane, console and a pool, until Ctrl-C.

        Instances run on when it ends, and are found again at the next start. With the engine
        openstack the pool is the cloud that OS_CLOUD names.
        """
        given = {
            "engine": engine and engine.value,
            "hosts": hosts,
            "state_dir": state,
            "listen": listen,
            "port": port,
            "pool_file": pool,
            "speed": speed,
        }
        run(settings_of({**given, "allow_changes": allow_changes}))

    @root.command("serve")
    def serve(
        state: State = None,
        listen: Listen = None,
        port: Port = None,
        allow_changes: AllowChanges = None,
    ) -> None:
        """Start a control plane as `billow.toml` and BILLOW_* say, until SIGTERM."""
        given = {"state_dir": state, "listen": listen, "port": port}
        run(settings_of({**given, "allow_changes": allow_changes}))


def settings_of(given: dict[str, Any]) -> "Settings":
    """Return the settings with what the command line gives. Raises Invalid for each wrong one."""
    from tomllib import TOMLDecodeError

    from pydantic import ValidationError

    from billow.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        details = tuple(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise Invalid("a setting is not valid", details, _FIX) from error
    except TOMLDecodeError as error:
        where = str(error).rpartition("(at ")[2].rstrip(")")
        raise Invalid(f"billow.toml is no TOML: {where}", (str(error),), _FIX) from error
    except (UnicodeDecodeError, OSError) as error:
        raise Invalid("billow.toml cannot be read", (str(error),), _FIX) from error


def run(settings: "Settings") -> None:
    """Serve until a signal, and say where."""
    import asyncio

    from billow.serve import serve
    from billow.telemetry import start_logging

    start_logging()
    address = settings.state_dir / ADDRESS_FILE
    ours = ""

    async def ready(billow: "Billow", url: str) -> None:
        nonlocal ours
        token = settings.state_dir / TOKEN_FILE
        known = await billow.keeper.bootstrap(token)
        if billow.leading or not address.exists():
            fresh = address.with_suffix(".new")
            fresh.write_text(url + "\n", encoding="ascii")
            fresh.replace(address)  # whoever finds it finds it whole
            ours = url
        pool = await billow.pool()
        _tell_what_lacks(billow, pool)
        print(f"billow is up: {_size(pool)}")
        print(f"console   {url}")
        print(f"log in    with the token in {token}" if known else "log in    with your token")
        print("stop      Ctrl-C; instances run on", flush=True)

    try:
        asyncio.run(serve(settings, ready=ready))
    finally:
        if ours and read_word(address) == ours:
            address.unlink()


def _size(pool: "Pool") -> str:
    return extent(len(pool.hosts), len(pool.instances))


def _tell_what_lacks(billow: "Billow", pool: "Pool") -> None:
    """Say on stderr what an operator should know before they begin."""
    if not billow.leading:
        wait_s = billow.settings.lease_s
        print(
            "standby   another controller is the writer; "
            f"this one takes over within {wait_s:.0f} s of its end",
            file=sys.stderr,
        )
    for gap in pool.gaps[:MOST_GAPS]:
        print(f"note      {gap.subject}: {gap.why}", file=sys.stderr)
    if len(pool.gaps) > MOST_GAPS:
        print(f"note      {len(pool.gaps) - MOST_GAPS} more: billow doctor", file=sys.stderr)
