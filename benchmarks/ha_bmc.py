# SPDX-License-Identifier: Apache-2.0
"""Proof by power: from the order to the proof, by how slowly a management controller answers."""

import argparse
import asyncio
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from labs.ha.bmc import Emulator
from labs.ha.bmc.emulator import PASSWORD, USER

from benchmarks.figure import Figure, Peer
from billow.act.clock import SystemClock
from billow.act.power.controllers import Controllers
from billow.act.power.inventory import Controller
from billow.act.power.line import Dial
from billow.act.power.records import Identities
from billow.engines.ipmi.line import IpmiLine
from billow.engines.redfish.line import RedfishLine

_UUID = "4c4c4544-0042-3610-8051-b4c04f564231"
_DIALS: dict[str, Dial] = {"redfish": RedfishLine, "ipmi": IpmiLine}
_APART_S = 1.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add how slow, and how often."""
    parser.add_argument("--answers", type=float, nargs="+", default=[0.0, 1.0, 3.0, 5.0])
    parser.add_argument("--times", type=int, default=5)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield the median time of a proof for each protocol and answer time, and one reading."""
    for kind, dial in _DIALS.items():
        with Emulator(kind, uuid=_UUID) as emulator, tempfile.TemporaryDirectory() as folder:
            for answer_s in arguments.answers:
                proofs = asyncio.run(_proofs(emulator, dial, Path(folder), answer_s, arguments))
                name = f"{kind}: off proved, each answer {answer_s:g} s"
                peer = Peer("two answers 1 s apart, the least that proves", _APART_S + answer_s)
                median_s = statistics.median(proofs)
                yield Figure(f"{name}, p50 of {len(proofs)}", median_s, "s", peer=peer)
                yield Figure(f"{name}, worst", max(proofs), "s")
            if kind == "ipmi":
                yield _reading(emulator, Path(folder))


async def _proofs(
    emulator: Emulator, dial: Dial, folder: Path, answer_s: float, arguments: argparse.Namespace
) -> list[float]:
    """Return how long each proof took, the host being on and recently read before."""
    found = []
    for _ in range(arguments.times):
        bmc = _opened(emulator, dial, folder)
        emulator.set()
        await bmc.on("h1")
        emulator.set(slow_s=answer_s)
        started = perf_counter()
        await bmc.off("h1")
        found.append(perf_counter() - started)
        if emulator.power != "off":
            raise AssertionError("a proof, and the host has power")
        await bmc.aclose()
    emulator.set()
    return found


def _opened(emulator: Emulator, dial: Dial, folder: Path) -> Controllers:
    known = Controller.model_validate(emulator.entry("h1"))
    return Controllers([known], dial, Identities(folder), SystemClock())


def _reading(emulator: Emulator, folder: Path) -> Figure:
    """Return how long one reading takes at 1 s an answer, beside ipmitool's of the power alone."""

    async def ours() -> float:
        bmc = _opened(emulator, IpmiLine, folder)
        started = perf_counter()
        await bmc.power("h1")
        return perf_counter() - started

    emulator.set(slow_s=1.0)
    mine_s = asyncio.run(ours())
    place = ["-H", emulator.host, "-p", str(emulator.port), "-U", USER, "-P", PASSWORD]
    started = perf_counter()
    command = ["ipmitool", "-I", "lanplus", "-N", "3", "-R", "6", *place, "power", "status"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    peer = Peer("ipmitool, power alone", perf_counter() - started)
    emulator.set()
    return Figure("ipmi: power and UUID, each answer 1 s", mine_s, "s", peer=peer)
