# SPDX-License-Identifier: Apache-2.0
"""The closed set of verbs with which a pool is changed.

Each verb says what must be true before it (`expects`) and what is true after it (`achieves`), so
that the guard can check the world before and after without knowing the verb. A new verb is a
decision record, not a plug-in: `match` with `assert_never` finds every place that must learn it.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias, get_args

from billow.model.evacuate import Evacuate as Evacuate  # noqa: PLC0414  # one of them
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import MigrationPolicy
from billow.model.shape import Shape
from billow.model.verb import Expect, OnHost, OnInstance, Verb, ratio_text, spelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Verb):
    """Create an instance on a host and start it.

    Attributes:
        group: The definition of the instance's group, which the engine keeps with it.
    """

    name: ClassVar[str] = "place"
    instance: Instance
    host: str
    nodes: tuple[int, ...] = ()
    group: Group | None = None

    @property
    def subject(self) -> str:
        return f"instance/{self.instance.id}"

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host,)

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "present", "no|requested"),
            Expect(f"host/{self.host}", "power", "on"),
            Expect(f"host/{self.host}", "cordon", ""),
        )

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "host", self.host),
            Expect(self.subject, "nodes", spelled(self.nodes)),
            Expect(self.subject, "state", "running"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrate(Verb):
    """Move a running instance to another host or other NUMA nodes, live.

    Attributes:
        policy: What may be done to it so that the move ends; None for as the instance says.
        downtime_s: How long it may stand still at the end; None for as the pool says.
    """

    name: ClassVar[str] = "migrate"
    instance: str
    source: str
    target: str
    source_nodes: tuple[int, ...] = ()
    target_nodes: tuple[int, ...] = ()
    policy: MigrationPolicy | None = None
    downtime_s: float | None = None

    @property
    def subject(self) -> str:
        return f"instance/{self.instance}"

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.source,) if self.source == self.target else (self.source, self.target)

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "host", self.source),
            Expect(self.subject, "nodes", spelled(self.source_nodes)),
            Expect(self.subject, "state", "running|stopped|paused"),
            Expect(f"host/{self.target}", "power", "on"),
        )

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "host", self.target),
            Expect(self.subject, "nodes", spelled(self.target_nodes)),
            Expect(self.subject, "state", "running|stopped|paused"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(OnInstance):
    """Start a stopped instance where it is."""

    name: ClassVar[str] = "start"

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "state", "running"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(OnInstance):
    """Stop an instance; it keeps its place.

    Attributes:
        grace_s: How long it may take to shut down by itself before its power is cut.
    """

    name: ClassVar[str] = "stop"
    grace_s: float = 30.0

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "state", "stopped"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(OnInstance):
    """Destroy an instance and what it stored. There is no way back."""

    name: ClassVar[str] = "delete"

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "present", "no"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(OnInstance):
    """Give an instance another shape on the host where it is.

    Attributes:
        nodes: The NUMA nodes that it is bound to afterwards.
    """

    name: ClassVar[str] = "resize"
    old: Shape
    new: Shape
    nodes: tuple[int, ...] = ()
    old_nodes: tuple[int, ...] = ()

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "host", self.host),
            Expect(self.subject, "shape", self.old.name),
        )

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "shape", self.new.name),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(OnInstance):
    """Let an instance use no more than so much CPU; 0 lifts the limit.

    Attributes:
        was_milli: The limit before, so that it can be put back.
    """

    name: ClassVar[str] = "throttle"
    cpu_limit_milli: int
    was_milli: int = 0

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "cpu_limit", str(self.cpu_limit_milli)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend(OnInstance):
    """Let an instance stand still where it is; it keeps its memory and its place."""

    name: ClassVar[str] = "suspend"

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "host", self.host),
            Expect(self.subject, "state", "running|paused"),
        )

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "state", "paused"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(OnInstance):
    """Let a suspended instance go on."""

    name: ClassVar[str] = "resume"

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "host", self.host),
            Expect(self.subject, "state", "paused|running"),
        )

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "state", "running"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allot(OnHost):
    """Sell more or less of a host than it physically has.

    Attributes:
        cpu_ratio, memory_ratio: Sold per physical CPU and MiB from then on.
        was_cpu_ratio, was_memory_ratio: The ratios before, so that they can be put back.
    """

    name: ClassVar[str] = "allot"
    cpu_ratio: float
    memory_ratio: float
    was_cpu_ratio: float = 1.0
    was_memory_ratio: float = 1.0

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "ratio", ratio_text(self.cpu_ratio, self.memory_ratio)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cordon(OnHost):
    """Let nothing new come to a host.

    Attributes:
        why: What the host's row says from then on.
    """

    name: ClassVar[str] = "cordon"
    why: str = "maintenance"

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "cordon", self.why),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncordon(OnHost):
    """Let instances come to a host again.

    Attributes:
        was: The cordon's reason, so that it can be put back.
    """

    name: ClassVar[str] = "uncordon"
    was: str = "maintenance"

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "cordon", ""),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOn(OnHost):
    """Give a host power and wait until it takes instances."""

    name: ClassVar[str] = "power-on"

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "power", "on"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOff(OnHost):
    """Shut an empty host down."""

    name: ClassVar[str] = "power-off"

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "empty", "yes"),)

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "power", "off"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence(OnHost):
    """Make sure that a host runs nothing any more, whatever it says."""

    name: ClassVar[str] = "fence"

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "power", "off"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair(OnHost):
    """Put right what an engine's own records of a host hold against each other.

    Room that is held for nobody is given back, and what stands still half-way is brought to its
    end. What runs is not touched; where nothing is amiss, nothing is done.
    """

    name: ClassVar[str] = "repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch(OnHost):
    """Bring packages of a host to given versions (`name=version`)."""

    name: ClassVar[str] = "patch"
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade(OnHost):
    """Move a host's operating system to another release, in place."""

    name: ClassVar[str] = "upgrade"
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(OnInstance):
    """Keep the state of an instance under a label."""

    name: ClassVar[str] = "snapshot"
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(OnInstance):
    """Put an instance back to a labelled state."""

    name: ClassVar[str] = "restore"
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(OnInstance):
    """Copy an instance's data to another pool while it runs; may be repeated."""

    name: ClassVar[str] = "copy"
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutover(OnInstance):
    """End the copy: the instance runs at the destination from now on."""

    name: ClassVar[str] = "cutover"
    destination: str


Action: TypeAlias = (
    Place
    | Migrate
    | Start
    | Stop
    | Delete
    | Resize
    | Throttle
    | Suspend
    | Resume
    | Allot
    | Cordon
    | Uncordon
    | PowerOn
    | PowerOff
    | Fence
    | Evacuate
    | Repair
    | Patch
    | Upgrade
    | Snapshot
    | Restore
    | Copy
    | Cutover
)

VERBS: dict[str, type[Action]] = {verb.name: verb for verb in get_args(Action)}
"""Every verb by its name."""
