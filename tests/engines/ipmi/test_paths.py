# SPDX-License-Identifier: Apache-2.0
"""IPMI read by a second program, and over hosts that bridge to the out-of-band network."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from labs.ha.bmc import Emulator
from labs.ha.bmc.emulator import PASSWORD, USER

from billow.act.clock import SystemClock
from billow.act.power import controllers
from billow.act.power.controllers import Controllers
from billow.act.power.inventory import Controller
from billow.act.power.records import Identities
from billow.engines.ipmi.line import IpmiLine
from billow.errors import Invalid, Unavailable
from billow.model.kinds import Power

pytestmark = [pytest.mark.bmc, pytest.mark.anyio]
UUID = "4c4c4544-0042-3610-8051-b4c04f564231"
SSH = """#!/bin/sh
echo "$@" >> {log}
for last; do :; done
exec sh -c "$last"
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator("ipmi", uuid=UUID) as found:
        yield found


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def opened(emulator: Emulator, folder: Path, **more: object) -> Controllers:
    known = Controller.model_validate(emulator.entry("h1", answer_s=3.0, off_s=8.0, **more))
    return Controllers([known], IpmiLine, Identities(folder), SystemClock())


def ipmitool(emulator: Emulator, *words: str) -> str:
    """Let another program say what it reads."""
    place = ["-H", emulator.host, "-p", str(emulator.port), "-U", USER, "-P", PASSWORD]
    done = subprocess.run(
        ["ipmitool", "-I", "lanplus", *place, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


async def test_another_program_reads_the_same(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controllers, "_BAR_S", 30.0)  # a busy machine takes its time
    bmc = opened(emulator, tmp_path)
    await bmc.on("h1")
    assert "Chassis Power is on" in ipmitool(emulator, "power", "status")
    assert await bmc.identity("h1") in ipmitool(emulator, "mc", "guid", "smbios")
    await bmc.off("h1")
    shown = ipmitool(emulator, "chassis", "status")
    assert "System Power         : off" in shown
    assert "Power Restore Policy : always-off" in shown
    assert "Force Boot into BIOS Setup" in ipmitool(emulator, "chassis", "bootparam", "get", "5")
    ipmitool(emulator, "power", "on")
    assert await bmc.power("h1") is Power.ON
    await bmc.aclose()


async def test_a_host_that_is_reached_by_ssh_asks_in_our_place(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program `ssh` is a stand-in; what it is told to run is run by a real shell."""
    log = tmp_path / "log"
    (tmp_path / "ssh").write_text(SSH.format(log=log))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    bmc = opened(emulator, tmp_path, proxies=["ssh://root@h7:2222"])
    await bmc.on("h1")
    assert "over ssh://root@h7:2222" in await bmc.off("h1")
    assert emulator.power == "off"
    told = log.read_text()
    assert "-l root -p 2222 -- h7 " in told
    assert PASSWORD not in told
    await bmc.on("h1")
    await bmc.aclose()


async def test_a_path_without_the_program_says_which_is_missing(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    bare = SSH.replace('exec sh -c "$last"', "exit 127")
    (tmp_path / "ssh").write_text(bare.format(log=log))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    bmc = opened(emulator, tmp_path, proxies=["ssh://h7"])
    with pytest.raises(Unavailable) as error:
        await bmc.power("h1")
    assert error.value.code == "no-ipmi-raw"
    assert "freeipmi-tools" in error.value.fix
    await bmc.aclose()


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, Emulator]]:
    """Start a controller on a network of its own; yield that network's name with it."""
    name = f"oob-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    within = ("nsenter", f"--net=/run/netns/{name}")
    try:
        subprocess.run([*within, "ip", "link", "set", "lo", "up"], check=True)
        with Emulator("ipmi", uuid=UUID, within=within, port=6230) as far:
            yield name, far
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


async def test_a_namespace_is_a_path(elsewhere: tuple[str, Emulator], tmp_path: Path) -> None:
    """The controller is not reached directly, but from that host."""
    name, far = elsewhere
    bmc = opened(far, tmp_path, proxies=["direct", f"netns:{name}"])
    assert f"over netns:{name}" in await bmc.off("h1")
    assert far.power == "off"
    assert bmc.paths("h1")[0] == f"netns:{name}"
    assert f"netns:{name}: reads off; direct: " in await bmc.rehearse("h1")
    await bmc.aclose()


async def test_a_password_that_cannot_be_handed_on_is_told(
    emulator: Emulator, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text('quo"te\n')
    secret.chmod(0o600)
    bmc = opened(emulator, tmp_path, secret_file=secret)
    with pytest.raises(Invalid, match="cannot be handed on"):
        await bmc.power("h1")
    await bmc.aclose()
