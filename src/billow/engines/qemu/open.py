# SPDX-License-Identifier: Apache-2.0
"""Open this machine as a pool: see what it can do, lay out its hosts once, join them."""

import asyncio
import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from billow.act.deed import Deeds
from billow.act.durable import load, make_folder, save, turn
from billow.act.terms import Terms, terms_of
from billow.engines.qemu.cpu import check_wanted
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.groups import Groups, Hierarchy, find_hierarchy
from billow.engines.qemu.images import Catalogue
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.network import MOST_HOSTS, Network
from billow.engines.qemu.obstacles import Obstacles
from billow.engines.qemu.probe import Findings, has_tools, probe
from billow.engines.qemu.process import kill
from billow.engines.qemu.record import HostPlan
from billow.engines.qemu.sight import Sight
from billow.engines.qemu.verbs import QemuCraft
from billow.errors import Invalid
from billow.model.group import Gap
from billow.model.host import Node
from billow.model.names import check_name
from billow.ports import Clock
from billow.settings import Settings

KEPT_MIB: Final = 1024
"""What this machine keeps for itself when its memory is shared out."""
CPU_RATIO: Final = 16.0
"""vCPUs sold per CPU, as OpenStack does by default: instances of a small pool mostly sleep."""
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """What a pool on this machine is; laid out once, when its state folder is made."""

    pool: str
    hosts: tuple[HostPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an operator set for a pool that is laid out.

    Attributes:
        notices: Gaps that it always shows.
        cpu_model: The CPU that new guests see under KVM; empty for the host's own.
    """

    terms: Terms = field(default_factory=Terms)
    notices: tuple[Gap, ...] = ()
    cpu_model: str = ""


async def open_engine(settings: Settings, clock: Clock) -> QemuEngine:
    """Open the pool in `state_dir/qemu`; make it the first time.

    Raises:
        Invalid: the settings ask for more hosts than the network has addresses, or for a CPU that
            this machine has not.
        Refused: the network of the hosts could not be set up.
    """
    folder = StateFolder(settings.state_dir / "qemu")
    plan = lay_out(folder, settings)
    findings = await probe(folder.cache, os.environ)
    notices, terms = _notices(plan, settings), terms_of(settings)
    rules = Rules(notices=notices, terms=terms, cpu_model=settings.cpu_model)
    return await open_pool(folder, plan, findings, clock, rules)


def _notices(plan: PoolPlan, settings: Settings) -> tuple[Gap, ...]:
    """Say when another number of hosts is asked for than the pool was laid out with."""
    if "hosts" not in settings.model_fields_set or settings.hosts == len(plan.hosts):
        return ()
    why = (
        f"laid out with {len(plan.hosts)} hosts, not the {settings.hosts} that are asked for"
        " (fix: `billow down` first to change it)"
    )
    return (Gap("engine/qemu", why),)


async def open_pool(
    folder: StateFolder,
    plan: PoolPlan,
    findings: Findings,
    clock: Clock,
    rules: Rules = Rules(),  # frozen
) -> QemuEngine:
    """Open a pool that is laid out.

    Raises:
        Invalid: this machine cannot give its guests the CPU that the rules ask for.
        Refused: its network cannot be set up.
    """
    check_wanted(rules.cpu_model, findings.cpu_model)
    ledger = Ledger(folder)
    network = _network(folder, plan, namespaces=findings.namespaces)
    make_folder(folder.root)
    async with turn(folder.network):
        deeds = Deeds(folder.root)
        try:
            await network.set_up()
        except BaseException:
            deeds.close()
            raise
    groups = _groups(folder, plan, findings.hierarchy)
    ground = Ground(ledger, findings, network, groups, rules.terms, rules.cpu_model)
    sight = Sight(ground, plan.hosts, rules.notices)
    catalogue = Catalogue(folder.images, findings.qemu_img)
    obstacles = Obstacles(ground, sight, catalogue, clock)
    return QemuEngine(QemuCraft(ground, catalogue, sight, clock, obstacles), deeds)


async def remove_pool(settings: Settings) -> None:
    """Remove a pool from this machine: its processes, network and state folder. No way back.

    Nobody may have it open. A pool that is not there is no error.
    """
    folder = StateFolder(settings.state_dir / "qemu")
    plan = load(PoolPlan, folder.settings)
    if plan is not None:
        ledger = Ledger(folder)
        for host in plan.hosts:
            for name in ledger.guests(host.name):
                await kill(folder.residence(host.name, name))
        await _network(folder, plan, namespaces=has_tools(os.environ)).tear_down()
        await _groups(folder, plan, find_hierarchy()).tear_down()
    await asyncio.to_thread(shutil.rmtree, folder.root, ignore_errors=True)


def _network(folder: StateFolder, plan: PoolPlan, *, namespaces: bool) -> Network:
    numbers = {host.name: host.number for host in plan.hosts}
    return Network(tag_of(folder, plan.pool), numbers, namespaces=namespaces)


def _groups(folder: StateFolder, plan: PoolPlan, hierarchy: Hierarchy) -> Groups:
    capacity = {host.name: sum(node.cpu_milli for node in host.nodes) for host in plan.hosts}
    return Groups(hierarchy, tag_of(folder, plan.pool), capacity)


def tag_of(folder: StateFolder, pool: str) -> str:
    """Return a name that no other pool on this machine has."""
    return f"{pool}-{hashlib.sha256(str(folder.root.absolute()).encode()).hexdigest()[:6]}"


def lay_out(folder: StateFolder, settings: Settings) -> PoolPlan:
    """Return what the pool is; the first time, share this machine out as the settings say."""
    known = load(PoolPlan, folder.settings)
    if known is not None:
        return known
    if settings.hosts > MOST_HOSTS:
        raise Invalid(
            f"{settings.hosts} hosts are more than the {MOST_HOSTS} that fit on one machine",
            fix="set BILLOW_HOSTS lower, or use the engine sim",
        )
    make_folder(folder.root)
    plan = PoolPlan(pool=check_name("pool", settings.pool), hosts=_hosts(settings))
    save(folder.settings, plan)
    return plan


def _hosts(settings: Settings) -> tuple[HostPlan, ...]:
    share = Node(
        cpu_milli=settings.host_cpus * 1000 or 1000 * _cpus() // settings.hosts,
        memory_mib=settings.host_memory_mib or (_memory_mib() - KEPT_MIB) // settings.hosts,
    )
    return tuple(
        HostPlan(name=f"h{number}", number=number, nodes=(share,), cpu_ratio=CPU_RATIO)
        for number in range(1, settings.hosts + 1)
    )


def _cpus() -> int:
    """Return the CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def _memory_mib() -> int:
    """Return this machine's memory in MiB, or what its container is allowed of it."""
    physical: int = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        allowed = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        allowed = physical
    return max(int(min(physical, allowed)) // _MIB, 2 * KEPT_MIB)
