# SPDX-License-Identifier: Apache-2.0
"""An instance as a value: a row of the pool's instance table, or a request for one."""

import math
from dataclasses import dataclass

from billow.errors import Invalid
from billow.model.cpu.models import check_cpu
from billow.model.host import MOST_NODES
from billow.model.kinds import Kind, MigrationPolicy, Service, State, Storage
from billow.model.names import (
    check_amount,
    check_id,
    check_measure,
    check_optional_id,
    check_text,
    check_word,
)
from billow.model.shape import Shape

UNSEEN = math.nan
"""What a measurement is that was not seen."""

MOST_PRIORITY = 1_000_000
"""The highest and, negated, the lowest priority."""

MOST_LIMIT = 2**31 - 1
"""The highest CPU limit, thousandths of a CPU."""

PASSING = "for now: "
"""How a reason to be immovable begins that passes by itself, or does not count once all is lost."""

_MEASURES = (
    *("dirty_mib_s", "cpu_used_milli", "memory_used_mib", "cpu_wait", "ballooned_mib"),
    "disk_used_mib",
)


@dataclass(frozen=True, slots=True)
class Instance:
    """A virtual machine, container, secure container or bare-metal machine.

    A request is an instance with state `requested` and no host.

    Attributes:
        host: Where it is; empty while it is only requested.
        nodes: The NUMA nodes that it is bound to; empty when it floats.
        priority: Higher goes first and is moved last.
        group: The affinity or anti-affinity group that it belongs to; empty for none.
        zone: The zone that it must be in; empty for any.
        image: What it boots, in its engine's words.
        immovable: Why it cannot be migrated live; empty when it can. One that begins with `PASSING`
            keeps nobody from starting it elsewhere when its host is dead.
        migration: What may be done to it so that a live migration ends.
        cpu_model: The CPU that its guest sees, or shall see, and that a host must therefore have
            (`cpu.models`); empty when any will do, or when it is not known.
        disk: Where its disk is, if it has one: on storage that all hosts reach, or on its host.
        service: Whether somebody waits for its answers, or it takes what is left.
        cpu_limit_milli: Most it may use now, thousandths of a CPU; 0 for no limit.
        dirty_mib_s: How fast it writes memory, MiB/s; NaN when not seen.
        cpu_used_milli, memory_used_mib: Real use; NaN when not seen.
        cpu_wait: Share of time in which it wanted a CPU and got none; NaN when not seen.
        ballooned_mib: Memory that it gave back to its host for now; NaN when not seen.
        disk_used_mib: What its disk takes, without the image below it; NaN when not seen.
    """

    id: str
    shape: Shape
    kind: Kind = Kind.VM
    host: str = ""
    nodes: tuple[int, ...] = ()
    state: State = State.REQUESTED
    priority: int = 0
    group: str = ""
    tenant: str = ""
    zone: str = ""
    image: str = ""
    immovable: str = ""
    migration: MigrationPolicy = MigrationPolicy.BALANCED
    cpu_model: str = ""
    disk: Storage = Storage.SHARED
    service: Service = Service.LATENCY
    cpu_limit_milli: int = 0
    dirty_mib_s: float = UNSEEN
    cpu_used_milli: float = UNSEEN
    memory_used_mib: float = UNSEEN
    cpu_wait: float = UNSEEN
    ballooned_mib: float = UNSEEN
    disk_used_mib: float = UNSEEN

    def __post_init__(self) -> None:
        check_id("instance", self.id)
        if not isinstance(self.shape, Shape):
            raise Invalid(
                f"instance {self.id} needs a shape",
                fix="give it one of the pool's shapes",
                code="invalid-shape",
            )
        check_word(f"kind of {self.id}", self.kind, Kind)
        check_word(f"state of {self.id}", self.state, State)
        self._check_nodes()
        for name in ("host", "group", "tenant", "zone", "image"):
            check_optional_id(name, getattr(self, name))
        if self.priority != 0 or self.immovable != "":
            what = f"priority of {self.id}"
            check_amount(what, self.priority, least=-MOST_PRIORITY, most=MOST_PRIORITY)
            check_text(f"the reason why {self.id} is immovable", self.immovable)
        if self.service is not Service.LATENCY or self.cpu_limit_milli != 0:
            check_word(f"service of {self.id}", self.service, Service)
            check_amount(f"cpu_limit_milli of {self.id}", self.cpu_limit_milli, most=MOST_LIMIT)
        if self.cpu_model != "":
            check_cpu(f"cpu_model of {self.id}", self.cpu_model)
        if self.disk is not Storage.SHARED:
            check_word(f"disk of {self.id}", self.disk, Storage)
        if self.migration is not MigrationPolicy.BALANCED:
            check_word(f"migration of {self.id}", self.migration, MigrationPolicy)
        for name in _MEASURES:
            if getattr(self, name) is not UNSEEN:
                check_measure(f"{name} of {self.id}", getattr(self, name))

    def _check_nodes(self) -> None:
        if self.nodes == ():
            return
        given: object = self.nodes
        if not isinstance(given, tuple) or len(set(given)) < len(given):
            raise Invalid(
                f"nodes of {self.id} must be a tuple of distinct NUMA nodes",
                fix="name each node once, like (0, 1)",
                code="invalid-nodes",
            )
        for node in self.nodes:
            check_amount(f"NUMA node of {self.id}", node, most=MOST_NODES - 1)

    @property
    def migratable(self) -> bool:
        """Whether it can be moved live."""
        return not self.immovable

    @property
    def is_host(self) -> bool:
        """Whether it is bare metal: its host itself, which has power once it is started."""
        return self.kind is Kind.BARE_METAL

    @property
    def bound(self) -> bool:
        """Whether it can run on no other host, for a reason that does not pass."""
        return binds(self.immovable)

    @property
    def remedy(self) -> str:
        """What somebody can do who wants it moved all the same."""
        return "stop it and create it elsewhere" if self.bound else "try again when that is over"

    @property
    def carried_mib(self) -> float:
        """What there is of a disk that moves along; 0 where it is shared or nobody saw how much."""
        unseen = math.isnan(self.disk_used_mib)
        return 0.0 if unseen or self.disk is Storage.SHARED else self.disk_used_mib


def mask_of(nodes: tuple[int, ...]) -> int:
    """Return the bit mask of NUMA node numbers."""
    mask = 0
    for node in nodes:
        mask |= 1 << node
    return mask


def nodes_of(mask: int) -> tuple[int, ...]:
    """Return the NUMA node numbers in a bit mask, ascending."""
    return tuple(node for node in range(mask.bit_length()) if mask >> node & 1)


def binds(immovable: str) -> bool:
    """Return whether a reason to be immovable is there to stay."""
    return bool(immovable) and not immovable.startswith(PASSING)
