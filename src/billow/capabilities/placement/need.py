# SPDX-License-Identifier: Apache-2.0
"""What requests of one class have in common: all that decides which hosts fit, but the group."""

from dataclasses import dataclass

from billow.model.kinds import Kind
from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, HUGE, MEMORY
from billow.model.shape import Shape


@dataclass(frozen=True, slots=True)
class Need:
    """A shape, what kind of instance takes it, and the zone that it must be in (empty for any)."""

    shape: Shape
    kind: Kind = Kind.VM
    zone: str = ""

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
    return Need(pool.shapes[view.shape[instance]], kind, view.zone[instance])


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
