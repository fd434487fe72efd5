# SPDX-License-Identifier: Apache-2.0
"""The closed vocabularies of the model. Each value is its own word in the text form and in JSON.

In a column a value is stored as its position in the enumeration (`codes`), one byte each.
"""

from enum import StrEnum
from typing import TypeVar

Vocabulary = TypeVar("Vocabulary", bound=StrEnum)


class Arch(StrEnum):
    """The instruction set of a host, or the one that an instance needs."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"
    RISCV64 = "riscv64"
    PPC64LE = "ppc64le"
    S390X = "s390x"


class Power(StrEnum):
    """Whether a host has power, as last seen."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class Health(StrEnum):
    """What the last probes said of a host."""

    OK = "ok"
    SUSPECT = "suspect"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What an instance is to its engine."""

    VM = "vm"
    CONTAINER = "container"
    SECURE_CONTAINER = "secure_container"
    BARE_METAL = "bare_metal"


class State(StrEnum):
    """Where an instance is in its life. A stopped one keeps its place, to start again."""

    REQUESTED = "requested"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Service(StrEnum):
    """What an instance may expect of the host that it shares."""

    LATENCY = "latency"
    """Somebody waits for its answers: it never waits for a batch instance."""
    BATCH = "batch"
    """It takes what is left: throttled first, then suspended or moved."""


class MigrationPolicy(StrEnum):
    """What may be done to an instance so that a live migration of it ends."""

    BALANCED = "balanced"
    """Slow down only vCPUs that write too fast, and only once that is seen to be needed."""
    SHORTEST = "shortest"
    """Slow those vCPUs down as soon as it is known who they are."""
    NO_THROTTLE = "no_throttle"
    """Slow nobody down; what would not end by itself is refused."""
    POST_COPY = "post_copy"
    """Switch after one round and fetch the rest afterwards: a target that dies loses the guest."""
    AUTO_CONVERGE = "auto_converge"
    """Slow all vCPUs down in steps, whoever writes; needs nothing of the host."""


class Storage(StrEnum):
    """Where the disk of an instance is."""

    SHARED = "shared"
    """On storage that all hosts reach: a move leaves it where it is."""
    OWN = "own"
    """On its host: it moves along, and a host that is lost takes it with it."""


class Rule(StrEnum):
    """What a group asks of its members."""

    AFFINITY = "affinity"
    ANTI_AFFINITY = "anti-affinity"


class Scope(StrEnum):
    """Within what a group's rule holds."""

    HOST = "host"
    RACK = "rack"
    ZONE = "zone"


def code_of(value: StrEnum) -> int:
    """Return the column code of a value: its position in its enumeration."""
    return _CODES[value.__class__][value]


def value_of(vocabulary: type[Vocabulary], code: int) -> Vocabulary:
    """Return the value behind a column code."""
    return _VALUES[vocabulary][code]  # type: ignore[return-value]  # keyed by its own class


_VOCABULARIES: tuple[type[StrEnum], ...] = (
    Arch,
    Power,
    Health,
    Kind,
    State,
    Service,
    MigrationPolicy,
    Storage,
    Rule,
    Scope,
)
_VALUES: dict[type[StrEnum], tuple[StrEnum, ...]] = {v: tuple(v) for v in _VOCABULARIES}
_CODES: dict[type[StrEnum], dict[StrEnum, int]] = {
    vocabulary: {value: code for code, value in enumerate(values)}
    for vocabulary, values in _VALUES.items()
}
