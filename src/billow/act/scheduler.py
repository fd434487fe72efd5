# SPDX-License-Identifier: Apache-2.0
"""What an engine can provide, beside `billow.ports`: a scheduler of its own, which can be asked."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from billow.errors import Blocked
from billow.model.instance import Instance
from billow.ports import Engine


@runtime_checkable
class Scheduler(Protocol):
    """An engine that would choose hosts itself.

    It is asked before there is a plan, so that a plan leaves no choice to whoever carries it out.
    """

    async def choose(self, requests: Sequence[Instance]) -> Mapping[str, str]:
        """Return the host that it would choose for each request, by name; each takes its room.

        Nothing is changed, and nothing is kept free. Requests for which it knows no host are left
        out.

        Raises:
            Refused: it cannot choose hosts.
            Unavailable: it did not answer.
        """


async def chosen_by(engine: Engine, requests: Sequence[Instance]) -> Mapping[str, str]:
    """Return the host that an engine's own scheduler would choose for every request, by name.

    Raises:
        Blocked: it has none, or knows no host for some of them.
        Unavailable: it did not answer.
    """
    if not isinstance(engine, Scheduler):
        raise Blocked(
            f"the engine {engine.name} has no scheduler of its own",
            fix="let Billow choose",
            code="no-scheduler",
        )
    found = await engine.choose(requests)
    left = [each.id for each in requests if each.id not in found]
    if left:
        raise Blocked(
            f"the scheduler of {engine.name} knows no host for {left[0]}",
            (f"{len(left)} of {len(requests)} requests go nowhere",),
            "let Billow choose: it says what is missing where",
            "no-host",
        )
    return found
