# SPDX-License-Identifier: Apache-2.0
"""The verb of high availability: what runs on a dead host is started on another one.

It stands beside the other verbs (`action`), by which it is imported. It must not be asked for
before the death is proved; whoever performs it refuses what may still run, as a second opinion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from billow.model.verb import Expect, Verb, spelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Evacuate(Verb):
    """Give an instance of a dead host another home, and start it there when it ran.

    What was stopped or paused is only given the other home: it is stopped there.

    Attributes:
        source: The host that is proved to run it no more.
        epoch: Rises with each try of one incident; an engine refuses an older one than it saw.
        incident: Whose record holds the proof; without one, the source must be seen without power.
    """

    name: ClassVar[str] = "evacuate"
    instance: str
    source: str
    target: str
    target_nodes: tuple[int, ...] = ()
    epoch: int = 1
    incident: str = ""

    @property
    def subject(self) -> str:
        return f"instance/{self.instance}"

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.target,)

    @property
    def expects(self) -> tuple[Expect, ...]:
        dead = () if self.incident else (Expect(f"host/{self.source}", "power", "off"),)
        return (
            Expect(self.subject, "host", self.source),
            *dead,
            Expect(f"host/{self.target}", "power", "on"),
            Expect(f"host/{self.target}", "health", "ok|unknown"),
        )

    @property
    def achieves(self) -> tuple[Expect, ...]:
        return (
            Expect(self.subject, "host", self.target),
            Expect(self.subject, "nodes", spelled(self.target_nodes)),
            Expect(self.subject, "state", "running|stopped"),
        )


def overtaken(action: Evacuate, earlier: Sequence[tuple[str, int]]) -> str:
    """Return why a try comes too late, in words; empty when it is the newest.

    Args:
        action: What an engine is asked for.
        earlier: Incident and epoch of every try that was ever begun for the instance, oldest first.
    """
    if not action.incident or action.incident not in (incident for incident, _ in earlier):
        return ""
    latest = earlier[-1][0]
    if latest != action.incident:
        return f"incident {latest} has given {action.instance} a home since"
    newer = max(epoch for incident, epoch in earlier if incident == action.incident)
    return f"epoch {action.epoch} is older than {newer}" if action.epoch < newer else ""
