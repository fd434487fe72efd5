# SPDX-License-Identifier: Apache-2.0
"""Drills of high availability on the lab's stage: hosts die, paths are lost, controllers fail.

Each drill strikes a stage of real agents, controllers, guests and emulated management controllers,
and judges by what the guests and the kernel show, not by what Billow wrote down.
"""

import contextlib
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from labs.ha import frozen, wire
from labs.ha.audit import Watch, guests
from labs.ha.faults import struck
from labs.ha.layout import Node
from labs.ha.patience import until
from labs.ha.stage import Plan, Stage

from billow.model.ha.evidence import Network

SETTLED_S: Final = 6.0
"""After a start: agents have greeted, and rounds of beats were heard on all networks."""
PROMISING_S: Final = 75.0
"""An agent that began so long ago may excuse others that no controller serves: it knows enough."""
FREELY: Final = {"BILLOW_POLICY": '{"ha": {"window_share": 1.0, "fencing_share": 1.0}}'}
"""Several hosts of a small stage die one after the other: no storm of it."""


@dataclass
class Recovered:
    """What one death came to.

    Attributes:
        seconds: From the fault until each instance's guest spoke elsewhere; infinite for never.
        doubles: Double runs that the auditors found.
        log: What controllers said of it, for people.
    """

    seconds: list[float]
    doubles: list[str]
    log: list[str] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """Half of them ran elsewhere after so long."""
        return statistics.median(self.seconds)

    @property
    def last_s(self) -> float:
        """All of them ran elsewhere after so long; with forty, also their p99."""
        return max(self.seconds)


class Guests:
    """When each guest was heard on its serial line after a fault: it began to live anew."""

    def __init__(self, stage: Stage, names: Sequence[str]) -> None:
        self._files = {
            name: stage.state / "qemu" / "volumes" / name / "serial.log" for name in names
        }
        self._before = {name: self._lives(name) for name in names}
        self.spoke_at: dict[str, float] = {}

    def look(self) -> bool:
        """Look once; return whether all have begun anew."""
        for name in self._files.keys() - self.spoke_at.keys():
            if self._lives(name) > self._before[name]:
                self.spoke_at[name] = time.monotonic()
        return len(self.spoke_at) == len(self._files)

    def seconds(self, since: float) -> list[float]:
        """Return after how long each spoke; infinite for never."""
        return sorted(self.spoke_at.get(name, math.inf) - since for name in self._files)

    def _lives(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return self._files[name].read_bytes().count(b"firmware up")
        return 0


@contextmanager
def staged(plan: Plan) -> Iterator[tuple[Stage, Watch]]:
    """Yield a stage that has settled, and an auditor of its processes."""
    with tempfile.TemporaryDirectory(prefix="bha") as folder:
        Path(folder).chmod(0o755)  # the database is another user's
        stage = Stage(Path(folder) / "s", plan)
        with stage, stage.watch() as watch:
            time.sleep(SETTLED_S)
            yield stage, watch


def on(host: str, watch: Watch) -> list[str]:
    """Return the instances that run on a host, by its processes."""
    watch.look()
    now = time.monotonic()
    return sorted(name for (name, at), last in watch.last.items() if at == host and now - last < 1)


def died(
    stage: Stage,
    watch: Watch,
    node: Node,
    patience_s: float = 60.0,
    meanwhile: Callable[[], None] = lambda: None,
) -> Recovered:
    """Cut a host's power; return how its instances fared.

    `meanwhile` is called once, after the power is gone.
    """
    names = on(node.name, watch)
    lives = Guests(stage, names)
    start = time.monotonic()
    stage.cut_power(node)
    meanwhile()
    until(lives.look, patience_s)
    return Recovered(lives.seconds(start), audited(stage, watch))


def audited(stage: Stage, watch: Watch) -> list[str]:
    """Return every double run that was found so far."""
    return [*watch.finding.doubles, *stage.serial().doubles]


def host_death(instances: int, answer_s: tuple[float, float], seed: int = 1) -> Recovered:
    """G5: a host with so many instances dies; management controllers answer in seconds."""
    dice = random.Random(seed)
    plan = Plan(hosts=5, instances=instances, bmc="redfish")
    with staged(plan) as (stage, watch):
        for bmc in stage.bmcs.values():
            bmc.set(slow_s=dice.uniform(*answer_s))
        return _logged(stage, died(stage, watch, stage.hosts[0]))


def host_and_bmc_death(instances: int, lease_s: float) -> Recovered:
    """G5: the management controller dies with its host; the watchdog's lease is the proof."""
    plan = Plan(hosts=5, instances=instances, bmc="redfish", lease_s=lease_s)
    with staged(plan) as (stage, watch):
        for bmc in stage.bmcs.values():
            bmc.set(dies_with_host=True)
        time.sleep(SETTLED_S)  # leases are armed
        return _logged(stage, died(stage, watch, stage.hosts[0], 90.0))


@dataclass
class PathLost:
    """What a lost path came to.

    Attributes:
        storage: The instances of the host that lost its storage path.
        power_orders: Orders that its management controller got.
        move_begins_s: From the loss of the tenant path to the first live move.
        restarts: Guests that began anew though their host lost its tenant path only.
    """

    storage: Recovered
    power_orders: int
    move_begins_s: float
    restarts: int
    doubles: list[str]


def paths(instances: int) -> PathLost:
    """G6: a host loses its storage path, and, on a stage of its own, one its tenant path."""
    plan = Plan(hosts=5, instances=instances, bmc="redfish")
    with staged(plan) as (stage, watch):
        node = stage.hosts[0]
        lives = Guests(stage, on(node.name, watch))
        start = time.monotonic()
        with struck("link", stage.lab, node, networks=(Network.STORAGE,)):
            until(lives.look, 40.0)
        lost = Recovered(lives.seconds(start), audited(stage, watch))
        orders = len(stage.bmcs[node.name].orders)
        _logged(stage, lost)
    with staged(plan) as (stage, watch):
        node = stage.hosts[0]
        lives = Guests(stage, on(node.name, watch))
        with struck("link", stage.lab, node, networks=(Network.TENANT,)):
            begins_s = until(lambda: any(incoming for _, _, incoming in guests()), 20.0)
            until(lambda: not on(node.name, watch), 30.0)
        lives.look()
        doubles = [*lost.doubles, *audited(stage, watch)]
    return PathLost(lost, orders, begins_s, len(lives.spoke_at), doubles)


def controller_failures(
    instances: int, after_s: Sequence[float]
) -> Iterator[tuple[str, Recovered]]:
    """G10: the writing controller is killed, or paused, so long after a host's death.

    Yields each case, the usual one with all controllers first, on a stage of its own.
    """
    cases = [("", 0.0), *((how, each) for how in ("killed", "paused") for each in after_s)]
    for how, delay_s in cases:
        with staged(Plan(hosts=4, instances=instances, bmc="redfish")) as (stage, watch):
            strike = _striking(stage, how, delay_s) if how else lambda: None
            came = died(stage, watch, stage.hosts[0], meanwhile=strike)
            yield f"{how} after {delay_s:g} s", _logged(stage, came)


def _striking(stage: Stage, how: str, delay_s: float) -> Callable[[], None]:
    leader = stage.leader()
    number = stage.lab.started(leader)["billow"]

    def strike() -> None:
        time.sleep(delay_s)
        if how == "killed":
            stage.lab.stop(leader, "billow")
        else:
            frozen.pause([number], on=True)

    return strike


@dataclass
class Storms:
    """What storms came to.

    Attributes:
        fenced: By storm: instances that ended, or began anew, though their host was well.
        recovered_s: Until every instance of the hosts that really died ran elsewhere.
        most_at_once: Hosts that were in fencing or had begun to be recovered at one time, at most.
    """

    fenced: dict[str, int]
    dead: int
    recovered_s: float
    doubles: list[str]


def storms(hosts: int, beside: int, quiet_s: float) -> Storms:
    """G11: switches, a zone's storage, all controllers; then three of ten hosts die for real."""
    plan = Plan(
        hosts=hosts, racks=2, instances=beside, beside=beside, bmc="redfish", lease_s=10.0
    )  # fmt: skip
    fenced: dict[str, int] = {}
    with staged(plan) as (stage, watch):
        every = sorted({name for name, _ in watch.last})
        for name, strike in _storm_kinds(stage).items():
            lives = Guests(stage, every)
            with strike():
                time.sleep(quiet_s)
            time.sleep(3.0)
            lives.look()
            gone = len(set(every) - {name for _, name, _ in guests()})
            fenced[name] = len(lives.spoke_at) + gone
        return _all_dead(stage, watch, fenced)


def _storm_kinds(
    stage: Stage,
) -> dict[str, Callable[[], contextlib.AbstractContextManager[object]]]:
    lab, node, began = stage.lab, stage.hosts[0], time.monotonic()

    @contextmanager
    def storage_away() -> Iterator[None]:
        for each in stage.hosts:
            wire.lose(lab, each, Network.STORAGE)
        yield
        for each in stage.hosts:
            wire.mend(lab, each)

    @contextmanager
    def nobody_leads() -> Iterator[None]:
        time.sleep(max(0.0, began + PROMISING_S - time.monotonic()))
        for each in lab.controllers:
            lab.stop(each, "billow")
        yield
        for each in lab.controllers:
            stage.start_controller(each)

    return {
        "a rack's switches": lambda: struck("rack", lab, node),
        "the storage of all": storage_away,
        "all controllers": nobody_leads,
    }


def _all_dead(stage: Stage, watch: Watch, fenced: dict[str, int]) -> Storms:
    dead = stage.hosts[: max(1, len(stage.hosts) * 3 // 10)]
    names = [name for node in dead for name in on(node.name, watch)]
    lives = Guests(stage, names)
    start = time.monotonic()
    for node in dead:
        stage.cut_power(node)
    until(lives.look, 240.0)
    return Storms(fenced, len(dead), max(lives.seconds(start)), audited(stage, watch))


def _logged(stage: Stage, came: Recovered) -> Recovered:
    for node in stage.lab.controllers:
        lines = (stage.lab.folder(node) / "billow.log").read_text().splitlines()
        came.log += [f"{node.name} {line}" for line in lines if '"incident"' in line]
    if os.environ.get("BILLOW_HA_LOG"):
        print("\n".join(came.log))
    return came
