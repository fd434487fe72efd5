# SPDX-License-Identifier: Apache-2.0
"""Forms about sizes and new instances, turned into the model's own values."""

from dataclasses import dataclass, replace

from billow.errors import Invalid
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Arch, Kind, MigrationPolicy, Rule, Scope, Service, Storage
from billow.model.names import check_name
from billow.model.resources import LARGEST
from billow.model.shape import Shape
from billow.web.forms import Form

MOST_INSTANCES = 10_000
MOST_CPUS = 4096


@dataclass(frozen=True, slots=True)
class Wish:
    """What the form for new instances asks for."""

    requests: tuple[Instance, ...]
    groups: tuple[Group, ...]
    strategy: str
    name: str


def wish_from(form: Form) -> Wish:
    """Return what a form asks for. Raises Invalid, naming the field."""
    first = _request(form)
    count = form.amount("count", 1, least=1, most=MOST_INSTANCES)
    names = [first.id] if count == 1 else [f"{first.id}-{number}" for number in range(1, count + 1)]
    requests = tuple(replace(first, id=check_name("instance", name)) for name in names)
    return Wish(requests, _groups(form), form.text("strategy") or "spread", first.id)


def shape_from(form: Form, old: Shape | None = None) -> Shape:
    """Return the shape that a form spells out; what it leaves out is as in the old one."""
    base = old or Shape("new", 1000, 512)
    cpu = round(form.measure("cpus", base.cpu_milli / 1000, most=MOST_CPUS) * 1000)
    memory = form.amount("memory_mib", base.memory_mib, least=1, most=LARGEST)
    if not cpu:
        raise Invalid("cpus must be more than 0", fix="give at least 0.001", code="invalid-amount")
    if old:
        return _named(replace(base, cpu_milli=cpu, memory_mib=memory))
    return _named(
        replace(
            base,
            cpu_milli=cpu,
            memory_mib=memory,
            numa_nodes=form.amount("numa_nodes", 0, most=32),
            huge_pages=form.ticked("huge_pages"),
            gpus=form.amount("gpus", 0, most=4096),
            arch=form.word("arch", Arch, Arch.X86_64) if form.text("arch") else None,
        )
    )


def _named(shape: Shape) -> Shape:
    """Name a shape by what it is, so that equal shapes share a name and different ones do not."""
    parts = [f"c{shape.cpu_milli}-m{shape.memory_mib}"]
    parts += [f"n{shape.numa_nodes}"] * bool(shape.numa_nodes)
    parts += ["huge"] * shape.huge_pages
    parts += [f"g{shape.gpus}"] * bool(shape.gpus)
    parts += [str(shape.arch)] * bool(shape.arch)
    parts += sorted(shape.traits)
    parts += ["dedicated"] * shape.dedicated
    return replace(shape, name="-".join(parts))


def _request(form: Form) -> Instance:
    return Instance(
        check_name("instance", form.text("name")),
        shape_from(form),
        kind=form.word("kind", Kind, Kind.VM),
        priority=form.amount("priority", 0, least=-1_000_000, most=1_000_000),
        group=form.text("group"),
        tenant=form.text("tenant"),
        zone=form.text("zone"),
        service=form.word("service", Service, Service.LATENCY),
        migration=form.word("migration", MigrationPolicy, MigrationPolicy.BALANCED),
        disk=form.word("disk", Storage, Storage.SHARED),
        image=form.text("image"),
    )


def _groups(form: Form) -> tuple[Group, ...]:
    """Return the group that a form declares; a group that the pool has already needs no rule."""
    if not form.text("group") or not form.text("rule"):
        return ()
    rule = form.word("rule", Rule, Rule.ANTI_AFFINITY)
    return (Group(form.text("group"), rule, form.word("scope", Scope, Scope.HOST)),)
