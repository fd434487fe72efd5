# SPDX-License-Identifier: Apache-2.0
"""What the API answers, as schemas for OpenAPI.

The documents themselves are made by `model.codec` and `render`; these classes describe them, and
the tests hold both against each other. Fields are only ever added within v1, so every object may
gain more.
"""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from billow.model.kinds import Arch, Health, Kind, MigrationPolicy, Power, Service, State, Storage

Measure: TypeAlias = float | None
"""A number that is null where it was not seen."""
Seconds = Annotated[float, Field(description="Seconds since the epoch.")]


class Answer(BaseModel):
    """The root of all answers."""

    model_config = ConfigDict(extra="allow")


class Problem(Answer):
    """An error, as RFC 9457 has it, with what to do next."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable; the same as on the command line.")
    details: list[str] = Field(description="What was seen, one fact each.")
    fix: str = Field(description="What to do next; empty when nothing is known.")
    blockers: list[str] = Field(description="What stands in the way, when something does.")
    retryable: bool
    trace_id: str


class Amounts(Answer):
    """The resources of a host or a pool."""

    cpu_milli: int
    memory_mib: int
    huge_mib: int
    gpus: int


class PoolSummary(Answer):
    """The pool in a few numbers."""

    name: str
    digest: str = Field(description="Names this state of the pool; send it as If-Match.")
    taken_at: Seconds
    hosts: int
    hosts_by_power: dict[str, int]
    hosts_by_health: dict[str, int]
    instances: int
    instances_by_state: dict[str, int]
    capacity: Amounts = Field(description="What can be handed out in all.")
    reserved: Amounts = Field(description="What placed instances take.")
    used_cpu_milli: Measure
    used_memory_mib: Measure
    shapes: list["ShapeDocument"]
    groups: list[dict[str, str]]
    gaps: list[dict[str, str]] = Field(description="What could not be seen, and why.")


class HostRow(Answer):
    """A host in the list; `fields` chooses which of these are there."""

    id: str = ""
    mark: str = Field("ok", description="What stands out: the worst of its states.")
    power: Power = Power.ON
    health: Health = Health.OK
    cordon: str = Field("", description="Why nothing new may come; empty when it may.")
    takes_instances: bool = True
    instances: int = 0
    arch: Arch = Arch.X86_64
    cpu_model: str = Field("", description="What its CPUs have; empty when not known.")
    sockets: int = 1
    numa_nodes: int = 1
    zone: str = ""
    rack: str = ""
    traits: list[str] = []
    gpu_model: str = ""
    cpu_milli: int = Field(0, description="What can be handed out.")
    memory_mib: int = 0
    huge_mib: int = 0
    gpus: int = 0
    reserved_cpu_milli: int = 0
    reserved_memory_mib: int = 0
    reserved_huge_mib: int = 0
    reserved_gpus: int = 0
    free_cpu_milli: int = Field(0, description="Negative when oversold.")
    free_memory_mib: int = 0
    free_huge_mib: int = 0
    free_gpus: int = 0
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0
    bandwidth_mib_s: Measure = None
    cpu_used_milli: Measure = None
    memory_used_mib: Measure = None
    load: Measure = Field(None, description="Processes that run or want to, over a minute.")
    cpu_pressure: Measure = Field(None, description="Share of time in which something waited.")
    memory_pressure: Measure = None
    swap_mib_s: Measure = Field(None, description="To and from disk.")
    watts: Measure = Field(None, description="Drawn, as its management controller measures it.")
    power_curve: str = Field("", description="Watts at 0, 10 .. 100 % load; empty when not known.")
    physical_cpu_milli: int = Field(0, description="What it has, whatever is sold of it.")
    physical_memory_mib: int = Field(0, description="Ordinary memory and huge pages together.")
    cpu_reserved_share: float = Field(0.0, description="Of what can be handed out; 1.0 is all.")
    memory_reserved_share: float = 0.0
    cpu_used_share: Measure = Field(None, description="Of what it has; 1.0 is all.")
    memory_used_share: Measure = None


class NodeDocument(Amounts):
    """One NUMA node of a host: what it has, and what is free of it."""

    free_cpu_milli: int
    free_memory_mib: int
    free_huge_mib: int
    free_gpus: int


class HostDocument(HostRow):
    """A host with its NUMA nodes and what is known besides."""

    nodes: list[NodeDocument]
    facts: dict[str, str]


class InstanceRow(Answer):
    """An instance in the list; `fields` chooses which of these are there."""

    id: str = ""
    kind: Kind = Kind.VM
    state: State = State.RUNNING
    host: str = Field("", description="Where it is; empty while it is only requested.")
    host_zone: str = ""
    nodes: list[int] = []
    shape: str = ""
    cpu_milli: int = 0
    memory_mib: int = 0
    gpus: int = 0
    numa_nodes: int = 0
    priority: int = 0
    group: str = ""
    tenant: str = ""
    zone: str = Field("", description="The zone that it must be in; empty for any.")
    image: str = ""
    migratable: bool = True
    immovable: str = Field("", description="Why it cannot be moved live.")
    migration: MigrationPolicy = Field(
        MigrationPolicy.BALANCED, description="What may be done to it so that a live move ends."
    )
    disk: Storage = Field(
        Storage.SHARED, description="Where its disk is: one of its own moves along with it."
    )
    cpu_model: str = Field(
        "", description="What a host's CPUs must have for it; empty when any will do, or not known."
    )
    service: Service = Service.LATENCY
    cpu_limit_milli: int = Field(0, description="Most that it may use now; 0 for no limit.")
    dirty_mib_s: Measure = None
    cpu_used_milli: Measure = None
    memory_used_mib: Measure = None
    cpu_wait: Measure = Field(None, description="Share of time in which it got no CPU.")
    ballooned_mib: Measure = Field(None, description="What it gave back to its host for now.")
    disk_used_mib: Measure = Field(None, description="What its disk takes, without its image.")


class ShapeDocument(Answer):
    """The size of an instance."""

    name: str
    cpu_milli: int
    memory_mib: int
    numa_nodes: int
    huge_pages: bool
    gpus: int
    arch: Arch | None
    traits: list[str]
    dedicated: bool


class InstanceDocument(InstanceRow):
    """An instance with its shape spelled out and what is known besides."""

    size: ShapeDocument
    facts: dict[str, str]


class Paged(Answer):
    """What every list has beside its items."""

    cursor: str = Field("", description="Where the next page begins; empty at the end.")


class HostPage(Paged):
    """Hosts, page by page."""

    digest: str
    total: int = Field(description="How many match, over all pages.")
    items: list[HostRow]


class InstancePage(Paged):
    """Instances, page by page."""

    digest: str
    total: int = Field(description="How many match, over all pages.")
    items: list[InstanceRow]
