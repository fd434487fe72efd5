# SPDX-License-Identifier: Apache-2.0
"""What may be sent to the API, and the model's values made of it.

Types are strict: a word is no number, a boolean no whole number, NaN no measurement, an unknown
field an error.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    Tag,
)

from billow.errors import Invalid
from billow.model.access import Role
from billow.model.ask import LEAST_DOWNTIME_S, MOST_DOWNTIME_S, Ask, AskVerb
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Arch, Kind, MigrationPolicy, Rule, Scope, Service, Storage
from billow.model.names import check_name
from billow.model.pool import Pool
from billow.model.resources import LARGEST
from billow.model.shape import Shape
from billow.plan.drain import Drain

MOST_REQUESTS = 20_000
Text = Annotated[str, Field(max_length=253)]
Amount = Annotated[StrictInt, Field(ge=0, le=LARGEST)]
Ratio = Annotated[StrictFloat, Field(gt=0, le=1000)] | None
Downtime = Annotated[StrictFloat, Field(ge=LEAST_DOWNTIME_S, le=MOST_DOWNTIME_S)] | None
IMAGE = r"[A-Za-z0-9][A-Za-z0-9_:-]*([./][A-Za-z0-9_:-]+)*"
"""No `..`, no leading slash or dot."""


class Sent(BaseModel):
    """The root of all request bodies."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class NewShape(Sent):
    """What an instance takes of its host."""

    name: Text = Field("", description="Unique in the pool; made of the amounts when empty.")
    cpu_milli: Amount = Field(ge=1, description="Thousandths of a CPU.", examples=[1000])
    memory_mib: Amount = Field(ge=1, description="MiB.", examples=[512])
    numa_nodes: Annotated[StrictInt, Field(ge=0, le=32)] = Field(
        0, description="0 floats over the host; n takes an equal share of exactly n NUMA nodes."
    )
    huge_pages: StrictBool = Field(False, description="Take the memory from huge pages.")
    gpus: Annotated[StrictInt, Field(ge=0, le=4096)] = Field(0, description="Whole GPUs.")
    arch: Arch | None = Field(None, description="The instruction set that it needs.")
    traits: list[Text] = Field([], max_length=100, description="What a host must have.")
    dedicated: StrictBool = Field(False, description="Pin its CPUs for it alone.")

    def shape(self) -> Shape:
        """Return the model's shape. Raises Invalid."""
        return Shape(
            self.name or self._spelled(),
            self.cpu_milli,
            self.memory_mib,
            self.numa_nodes,
            self.huge_pages,
            self.gpus,
            self.arch,
            frozenset(self.traits),
            self.dedicated,
        )

    def _spelled(self) -> str:
        """Return a name that equal shapes share and different shapes do not."""
        parts = [f"c{self.cpu_milli}-m{self.memory_mib}"]
        parts += [f"n{self.numa_nodes}"] * bool(self.numa_nodes)
        parts += ["huge"] * self.huge_pages
        parts += [f"g{self.gpus}"] * bool(self.gpus)
        parts += [str(self.arch)] * bool(self.arch)
        parts += sorted(set(self.traits))
        parts += ["dedicated"] * self.dedicated
        return "-".join(parts)


def _image(name: str) -> str:
    """Return the name of an image, which can never leave its folder."""
    if name and not re.fullmatch(IMAGE, name):
        raise ValueError("use letters, digits and . _ : - / without '..' or a leading '.' or '/'")
    return name


AnyShape = Annotated[
    Annotated[NewShape, Tag("object")] | Annotated[Text, Tag("name")],
    Discriminator(lambda sent: "name" if isinstance(sent, str) else "object"),
]
"""A shape spelled out, or the name of one that the pool has."""


class NewInstance(Sent):
    """A request for one instance."""

    id: Annotated[str, Field(max_length=63)] = Field(
        description="Its name: 1 to 63 characters of a-z, 0-9 and '-'.", examples=["web-1"]
    )
    shape: AnyShape = Field(
        description="Its size, or the name of a shape that the pool has.",
        examples=[{"cpu_milli": 1000, "memory_mib": 512}],
    )
    kind: Kind = Field(Kind.VM)
    priority: Annotated[StrictInt, Field(ge=-1_000_000, le=1_000_000)] = Field(
        0, description="Higher goes first and is moved last."
    )
    group: Text = Field("", description="Its affinity or anti-affinity group.")
    tenant: Text = Field("", description="Whom it belongs to.")
    zone: Text = Field("", description="The zone that it must be in; empty for any.")
    service: Service = Field(
        Service.LATENCY, description="Whether somebody waits for it, or it takes what is left."
    )
    migration: MigrationPolicy = Field(
        MigrationPolicy.BALANCED, description="What may be done to it so that a live move ends."
    )
    disk: Storage = Field(
        Storage.SHARED, description="Where its disk is: one of its own moves along with it."
    )
    image: Annotated[str, AfterValidator(_image)] = Field(
        "",
        max_length=253,
        json_schema_extra={"pattern": f"^({IMAGE})?$"},
        description="What it boots, in its engine's words.",
        examples=["firmware"],
    )

    def instance(self, pool: Pool) -> Instance:
        """Return the model's request. Raises Invalid: a name, or a shape that the pool has not."""
        return Instance(
            check_name("instance", self.id),
            _known_shape(pool, self.shape) if isinstance(self.shape, str) else self.shape.shape(),
            kind=self.kind,
            priority=self.priority,
            group=self.group,
            tenant=self.tenant,
            zone=self.zone,
            service=self.service,
            migration=self.migration,
            disk=self.disk,
            image=self.image,
        )


class NewGroup(Sent):
    """A group that requests of the same call belong to."""

    name: Text
    rule: Rule
    scope: Scope = Scope.HOST

    def group(self) -> Group:
        """Return the model's group. Raises Invalid."""
        return Group(self.name, self.rule, self.scope)


class NewInstances(Sent):
    """Requests for instances, placed by one plan."""

    instances: list[NewInstance] = Field(min_length=1, max_length=MOST_REQUESTS)
    groups: list[NewGroup] = Field([], max_length=MOST_REQUESTS)
    policy: dict[Text, JsonValue] = Field({}, description="Knobs of the capability placement.")


class HostsWanted(Sent):
    """Requests for which hosts are to be chosen."""

    instances: list[NewInstance] = Field(min_length=1, max_length=MOST_REQUESTS)


class NewPlan(Sent):
    """What is asked of a capability."""

    capability: Text = Field(examples=["placement"])
    policy: dict[Text, JsonValue] = Field(
        {}, description="Its knobs; GET /v1/capabilities has their schema."
    )
    requests: list[NewInstance] = Field([], max_length=MOST_REQUESTS)
    groups: list[NewGroup] = Field([], max_length=MOST_REQUESTS)


class Question(Sent):
    """A request that may or may not be possible."""

    request: NewInstance


class Reason(Sent):
    """Why something is asked; shown in the plan."""

    why: Annotated[str, Field(max_length=200)] = Field("", examples=["new fan"])


class Destination(Reason):
    """Where to, and what may be done to it on the way."""

    target: Text = Field("", description="A host's name; empty lets placement choose.")
    policy: MigrationPolicy | None = Field(
        None, description="What may be done so that the move ends; null for as the instance says."
    )
    downtime_s: Downtime = Field(
        None, description="How long it may stand still; null for as the pool says.", examples=[0.05]
    )


class NewSize(Reason):
    """The shape to have from now on."""

    shape: AnyShape


class NewLimit(Reason):
    """What an instance may use of CPUs from now on."""

    cpus: Annotated[StrictFloat, Field(ge=0, le=2_000_000)] = Field(
        description="CPUs, at least 0.001; 0 lifts the limit.", examples=[1.5]
    )


class NewRatios(Reason):
    """What a host sells from now on for each CPU and MiB that it has; null keeps a ratio."""

    cpu_ratio: Ratio = Field(None, description="CPUs sold per CPU.", examples=[3.0])
    memory_ratio: Ratio = Field(None, description="MiB sold per MiB.", examples=[1.5])


class NewAsk(Destination):
    """One thing to do with one thing that exists."""

    verb: AskVerb
    subject: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="An instance's name; a host's for cordon, power-*, fence, allot, ...",
        examples=["web-1"],
    )
    target: Text = Field("", description="For migrate: a host; empty lets placement choose.")
    shape: AnyShape | None = Field(None, description="For resize: the shape to have from now on.")
    cpus: Annotated[StrictFloat, Field(ge=0, le=2_000_000)] | None = Field(
        None, description="For throttle: the CPUs that it may use; 0 lifts the limit."
    )
    cpu_ratio: Ratio = Field(None, description="For allot: CPUs sold per CPU.")
    memory_ratio: Ratio = Field(None, description="For allot: MiB sold per MiB.")

    def ask(self, pool: Pool) -> Ask:
        """Return the model's request. Raises Invalid: a name, a shape, or what the verb lacks."""
        on_the_way = (self.policy, self.downtime_s) != (None, None)
        if (self.target or on_the_way) and self.verb is not AskVerb.MIGRATE:
            raise Invalid(f"{self.verb} takes no target, policy or downtime", fix="leave it out")
        if (self.shape is None) is (self.verb is AskVerb.RESIZE):
            raise Invalid("a resize takes a shape, and nothing else does", fix="see the schema")
        if (self.cpus is None) is (self.verb is AskVerb.THROTTLE):
            raise Invalid("a throttle takes CPUs, and nothing else does", fix="see the schema")
        ratios = (self.cpu_ratio, self.memory_ratio)
        if ratios != (None, None) and self.verb is not AskVerb.ALLOT:
            raise Invalid(f"{self.verb} takes no ratio", fix="leave it out")
        shape = None if self.shape is None else shape_of(self.shape, pool)
        asked = Ask(self.verb, self.subject, self.target, shape, self.why, self.cpus, *ratios)
        return replace(asked, migration=self.policy, downtime_s=self.downtime_s)


class NewAsks(Sent):
    """Things to do, in this order, by one plan."""

    asks: list[NewAsk] = Field(min_length=1, max_length=MOST_REQUESTS)


class NewDrain(Reason):
    """Hosts that are to be empty: by name, and all of a zone, a rack or an aggregate."""

    hosts: list[Annotated[str, Field(min_length=1, max_length=253)]] = Field(
        [], max_length=MOST_REQUESTS, examples=[["h7"]]
    )
    zone: Text = Field("", description="All hosts of a zone.", examples=["z1"])
    rack: Text = Field("", description="All hosts of a rack.")
    aggregate: Text = Field("", description="All hosts of an aggregate, where the engine has such.")

    def drain(self) -> Drain:
        """Return the model's request."""
        return Drain(
            tuple(dict.fromkeys(self.hosts)), self.zone, self.rack, self.aggregate, self.why
        )


class NewToken(Sent):
    """For whom a token is made."""

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(examples=["nightly-job"])
    role: Role = Field(Role.VIEWER)
    ttl_s: Annotated[StrictFloat | None, Field(gt=0, le=1e10)] = Field(
        None, description="How long it is good, in seconds; null for ever."
    )


def instances_of(requests: Sequence[NewInstance], pool: Pool) -> list[Instance]:
    """Return the model's requests. Raises Invalid, also when two have one name."""
    instances = [each.instance(pool) for each in requests]
    if len({each.id for each in instances}) < len(instances):
        raise Invalid("two requests have one name", fix="give each its own id")
    return instances


def asks_of(sent: Sequence[NewAsk], pool: Pool) -> list[Ask]:
    """Return the model's requests. Raises Invalid, also when one is there twice."""
    asks = [each.ask(pool) for each in sent]
    if len({(each.verb, each.subject) for each in asks}) < len(asks):
        raise Invalid("one thing is asked for twice", fix="ask for each once")
    return asks


def shape_of(sent: NewShape | str, pool: Pool) -> Shape:
    """Return a shape that was named or spelled out. Raises Invalid."""
    return _known_shape(pool, sent) if isinstance(sent, str) else sent.shape()


def _known_shape(pool: Pool, name: str) -> Shape:
    for shape in pool.shapes:
        if shape.name == name:
            return shape
    known = ", ".join(shape.name for shape in pool.shapes[:20])
    raise Invalid(
        f"the pool has no shape {ascii(name)[:80]}",
        fix=f"spell it out as an object, or use one of: {known}" if known else "spell it out",
        code="unknown-shape",
    )
