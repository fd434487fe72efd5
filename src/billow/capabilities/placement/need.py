# SPDX-License-Identifier: Apache-2.0
"""What requests of one class have in common: all that decides which hosts fit, but the group."""

from dataclasses import dataclass, replace

from billow.model.cpu.models import model_of
from billow.model.instances import NOWHERE
from billow.model.kinds import Arch, Kind, value_of
from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, HUGE, MEMORY
from billow.model.shape import Shape
from billow.plan.reach import ANYWHERE, reach_of


@dataclass(frozen=True, slots=True)
class Need:
    """A shape, what kind of instance takes it, and what else binds it.

    Attributes:
        zone: The one that it must be in; empty for any.
        home: The instruction set of its host, or of the CPU that it shall see, where that binds it.
        cpu_model: What a host's CPU must have; empty where every host of the instruction set will
            do.
    """

    shape: Shape
    kind: Kind = Kind.VM
    zone: str = ""
    home: Arch | None = None
    cpu_model: str = ""

    @property
    def arch(self) -> Arch | None:
        """The instruction set that it needs; None when any will do."""
        return self.shape.arch or self.home

    @property
    def whole(self) -> bool:
        """Whether it takes a whole, empty host."""
        return self.kind is Kind.BARE_METAL

    @property
    def memory(self) -> int:
        """The resource that its memory comes from."""
        return HUGE if self.shape.huge_pages else MEMORY


def need_of(pool: Pool, instance: int) -> Need:
    """Return what an instance (row) needs."""
    view = pool.instances
    kind = tuple(Kind)[view.kind[instance]]
    need = Need(pool.shapes[view.shape[instance]], kind, view.zone[instance])
    if reach_of(pool).code(instance) == ANYWHERE:
        return need
    host, cpu = int(view.host[instance]), view.cpu_model[instance]
    if host == NOWHERE:
        return replace(need, home=model_of(cpu).arch, cpu_model=cpu)
    return replace(need, home=value_of(Arch, pool.hosts.arch[host]), cpu_model=cpu)


def amount_text(resource: int, amount: float) -> str:
    """Return an amount as people say it: `2.5 CPUs`, `4 GiB`, `512 MiB`, `1 GPU`."""
    if resource == CPU:
        return _counted(amount / 1000, "CPU")
    if resource == GPU:
        return _counted(amount, "GPU")
    text = f"{amount / 1024:g} GiB" if amount % 256 == 0 else f"{amount:g} MiB"
    return f"{text} of huge pages" if resource == HUGE else text


def _counted(amount: float, what: str) -> str:
    return f"{amount:g} {what}{'' if amount == 1 else 's'}"
