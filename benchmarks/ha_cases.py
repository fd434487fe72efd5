# SPDX-License-Identifier: Apache-2.0
"""The gray cases: hosts that beat and are ill, each done to a host of the stage for real.

A case counts as seen when an incident of the host stands that says what is wrong with it, and as
right only if no other host, and no healthy guest, had to suffer for it.
"""

import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from labs.ha import frozen, space
from labs.ha.audit import guests
from labs.ha.faults import struck
from labs.ha.layout import Node
from labs.ha.stage import Plan, Stage

from benchmarks.ha_drills import FREELY, staged
from billow.model.ha.evidence import Network

LIMIT_S: Final = 7.0
PATIENCE_S: Final = 15.0
HOSTS: Final = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One gray case.

    Attributes:
        fault: The lab's fault.
        said: What the incident, or the evidence in its steps, says of it.
    """

    name: str
    fault: str
    said: str
    networks: tuple[Network, ...] = ()
    amount: float | None = None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """How a case went: seconds until it was seen; infinite for never."""

    name: str
    seconds: float


_POISON: Final = "Memory failure: 0x1234: recovery action for dirty LRU page: Recovered"
_STORAGE, _TENANT = (Network.STORAGE,), (Network.TENANT,)
CASES: Final = (
    Case("frozen I/O of its own disk, beats go on", "local-disk", "/disk comes back"),
    Case("one-way loss of storage", "mute", "storage: lost for", _STORAGE),
    Case("60 % loss of tenant", "loss", "tenant: lost for|lost|gateway", _TENANT, 60),
    Case("black hole of the MTU in tenant", "mtu", "large|MTU", _TENANT, 600),
    Case("hung QEMU", "", "its QEMU does not answer"),
    Case("storage mounted read-only", "readonly", "read-only"),
    Case("stalled storage pool", "disk", "/pool comes back"),
    Case("agent without CPU", "", "does not get the CPU|lost for"),
    Case("management controller that lies", "", "says off while"),
    Case("slow card", "speed", "Mbit/s", _STORAGE),
    Case("clock jump", "", "clock"),
    Case("full table of connections", "conntrack", "connections"),
    Case("half a bond", "bond", "bond", _STORAGE),
    Case("dead virtual switch: no way to the gateway", "gateway", "gateway"),
    Case("poisoned page", "kernel", "memory|page", what=_POISON),
)  # fmt: skip


def run(only: tuple[str, ...] = ()) -> list[Seen]:
    """Do each case to a host of its own, on stages of five: the last case's ills are over."""
    chosen = [each for each in CASES if not only or any(word in each.name for word in only)]
    found = []
    for first in range(0, len(chosen), HOSTS):
        plan = Plan(hosts=HOSTS, instances=1, beside=1, bmc="redfish", clocks=True, settings=FREELY)
        with staged(plan) as (stage, _):
            for case, node in zip(chosen[first : first + HOSTS], stage.hosts, strict=False):
                found.append(Seen(case.name, _seen_after(stage, case, node)))
    return found


def _seen_after(stage: Stage, case: Case, node: Node) -> float:
    before = stage.told(node.name)
    start = time.monotonic()
    told = before
    with _doing(stage, case, node):
        while time.monotonic() - start < PATIENCE_S:
            told = stage.told(node.name)
            if case.name == "hung QEMU":  # one instance's ill is no incident of its host
                told["symptoms"] = stage.symptoms(node.name)
            for name, text in told.items():
                if before.get(name) != text and re.search(case.said, text):
                    return time.monotonic() - start
            time.sleep(0.1)
    print(f"{case.name}: not seen; {told}", file=sys.stderr)
    return math.inf


def _doing(stage: Stage, case: Case, node: Node) -> AbstractContextManager[object]:
    if case.name in _UNUSUAL:
        return _UNUSUAL[case.name](stage, node)
    return struck(
        case.fault, stage.lab, node, networks=case.networks, amount=case.amount, what=case.what
    )


@contextmanager
def _lying(stage: Stage, node: Node) -> Iterator[None]:
    """Let the management controller say that a host is off which beats on, and is doubted."""
    stage.bmcs[node.name].set(says="off")
    with struck("link", stage.lab, node, networks=(Network.MANAGEMENT,)):
        yield
    stage.bmcs[node.name].set()


@contextmanager
def _jumping(stage: Stage, node: Node) -> Iterator[None]:
    """Let the agent's clock jump by an hour."""
    stage.jump(node, 3600)
    yield
    stage.jump(node, 0)


@contextmanager
def _starving(stage: Stage, node: Node) -> Iterator[None]:
    """Let the agent's processes run a tenth of the time; its guests have theirs.

    A quota of a control group would not do: what beats runs with real-time priority.
    """
    numbers = [n for n in stage.lab.processes(node) if "billow.agent" in space.words_of(n)]
    over = threading.Event()

    def starve() -> None:
        while not over.is_set():
            frozen.pause(numbers, on=True)
            over.wait(0.8)
            frozen.pause(numbers, on=False)
            over.wait(0.09)

    starving = threading.Thread(target=starve, daemon=True)
    starving.start()
    yield
    over.set()
    starving.join()


@contextmanager
def _hanging(stage: Stage, node: Node) -> Iterator[None]:
    """Stop one guest's process."""
    ours = set(stage.lab.processes(node))
    stopped = [number for number, _, _ in guests() if number in ours][:1]
    frozen.pause(stopped, on=True)
    yield
    frozen.pause(stopped, on=False)


_UNUSUAL: Final[dict[str, Callable[[Stage, Node], AbstractContextManager[object]]]] = {
    "management controller that lies": _lying,
    "clock jump": _jumping,
    "agent without CPU": _starving,
    "hung QEMU": _hanging,
}
