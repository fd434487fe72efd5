# SPDX-License-Identifier: Apache-2.0
"""What every verb is made of: a subject, the hosts that it loads, what it expects and achieves."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Expect:
    """One thing that must hold of one subject.

    Attributes:
        subject: `instance/NAME` or `host/NAME`.
        field: What of it: `present`, `host`, `nodes`, `state`, `shape`, `cpu_limit`, `power`,
            `health`, `cordon`, `ratio`, `empty`.
        value: How it must read; several choices are separated by `|`.
    """

    subject: str
    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.subject} {self.field}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What all actions share.

    Attributes:
        id: Unique for ever; an engine does an action with a known id at most once.
        reason: Why, in one clause, for the person who reads the plan.
    """

    id: str = ""
    reason: str = ""
    name: ClassVar[str] = ""
    """The verb in the text form, JSON and the CLI."""

    @property
    def subject(self) -> str:
        """What it changes: `instance/NAME` or `host/NAME`."""
        raise AttributeError(f"{type(self).__name__} has no subject")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that it loads while it runs."""
        return ()

    @property
    def expects(self) -> tuple[Expect, ...]:
        """What must be true before."""
        return ()

    @property
    def achieves(self) -> tuple[Expect, ...]:
        """What is true after."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnInstance(Verb):
    """A verb on an instance that exists, on the host where it is."""

    instance: str
    host: str

    @property
    def subject(self) -> str:
        return f"instance/{self.instance}"

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host,)

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "host", self.host),)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost(Verb):
    """A verb on a host."""

    host: str

    @property
    def subject(self) -> str:
        return f"host/{self.host}"

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host,)

    @property
    def expects(self) -> tuple[Expect, ...]:
        return (Expect(self.subject, "present", "yes"),)


def spelled(nodes: tuple[int, ...]) -> str:
    """Return NUMA nodes as text: `0+1`, or `-` when floating."""
    return "+".join(map(str, nodes)) or "-"


def ratio_text(cpu: float, memory: float) -> str:
    """Return what a host sells per physical CPU and MiB as text: `1.5/1`."""
    return f"{cpu:g}/{memory:g}"
