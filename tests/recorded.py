# SPDX-License-Identifier: Apache-2.0
"""Incidents for the tests of the faces, made by the production protocol step by step."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from billow.errors import BillowError
from billow.model.ha.evidence import NETWORKS, Sight
from billow.model.ha.explanation import Gate
from billow.model.ha.incident import Incident, Victim
from billow.model.ha.response import Answer, CutPower, StartElsewhere
from billow.model.ha.step import IncidentStep
from billow.model.kinds import Power
from billow.plan.ha.explain import explain
from billow.plan.ha.facts import Facts, Terms
from billow.plan.ha.gates import Ruling
from billow.plan.ha.protocol import advance, opened
from billow.plan.ha.record import facts_document
from billow.plan.ha.table import respond
from billow.store import Store

BEGAN = 1_790_000_000.0
TERMS = Terms()


@dataclass
class Recorder:
    """One incident under way."""

    name: str
    facts: Facts
    steps: list[IncidentStep] = field(default_factory=list)

    @property
    def incident(self) -> Incident:
        """The record as it is."""
        return self.steps[-1].incident

    def go(self, after_s: float = 0.1, **known: object) -> bool:
        """Take a step so many seconds later, knowing this besides; return whether there was one."""
        facts = replace(self.facts, now=self.facts.now + after_s, **known)  # type: ignore[arg-type]
        self.facts = facts
        turn = advance(self.incident, facts, TERMS) if self.steps else opened(self.name, facts)
        if turn is None:
            return False
        rulings = [Ruling(Gate("storm", not facts.shut, facts.shut or "no storm"), facts.shut)]
        self.steps.append(
            IncidentStep(
                at=facts.now,
                actor="controller-1",
                fence=facts.fence,
                why=turn.why,
                incident=turn.incident,
                deeds=turn.deeds,
                facts=facts_document(facts, TERMS),
                explanation=explain(facts, rulings),
            )
        )
        return True


def silent(name: str, host: str, *, power: Power = Power.ON, fence: int = 1) -> Recorder:
    """Return the beginning of the incident of a host that is heard nowhere any more."""
    lost = dict.fromkeys(NETWORKS, BEGAN)
    sight = Sight(host=host, lost=lost, heard_at=BEGAN - 1.0, power=power, power_since=BEGAN)
    facts = Facts(now=BEGAN, fence=fence, sight=sight, response=respond(sight))
    recorder = Recorder(name, facts)
    recorder.go()
    return recorder


def recovered(name: str = "ha-h1-1", host: str = "h1", *, fence: int = 1) -> Recorder:
    """Return an incident whose host was turned off and whose instances run elsewhere."""
    made = silent(name, host, fence=fence)
    victims = (Victim("web"), Victim("db", band=1), Victim("gpu-job", band=2))
    made.go(1.0, victims=victims)
    made.go()
    off = Answer(CutPower(host), ok=True, at=made.facts.now + 2, text="off, read twice 1 s apart")
    made.go(2.1, answers=(off,))
    made.go(0.1, rooms={"web": "h2", "db": "h3", "gpu-job": "h2"})
    began = made.facts.now
    starts = [
        Answer(StartElsewhere(name, host, target, 1), ok=True, at=began + 0.5)
        for name, target in (("web", "h2"), ("db", "h3"), ("gpu-job", "h2"))
    ]
    while made.go(0.7, answers=(off, *starts)):
        pass
    return made


def held(name: str = "ha-h2-2", host: str = "h2", *, fence: int = 1) -> Recorder:
    """Return an incident of a host of which nothing proves that it is dead."""
    made = silent(name, host, power=Power.UNKNOWN, fence=fence)
    silence = Answer(CutPower(host), ok=False, at=BEGAN + 60, text="it does not answer")
    made.go(1.0, victims=(Victim("cache"),), answers=(silence,))
    while made.go() and not made.incident.held:
        pass
    return made


async def record(url: str, *recorders: Recorder) -> None:
    """Keep incidents in a store whose lease somebody holds; the steps get that one's fence."""
    store = await Store.open(url)
    try:
        lease = await store.lease()
        assert lease is not None
        for recorder in recorders:
            await _keep(store, recorder.steps, lease.fence)
    finally:
        await store.aclose()


def record_now(url: str, *recorders: Recorder) -> None:
    """Keep incidents; a browser's driver may hold the event loop of this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, record(url, *recorders)).result()


async def _keep(store: Store, steps: Sequence[IncidentStep], fence: int) -> None:
    for step in steps:
        mine = replace(step, fence=fence)
        try:
            await (store.open_incident if step.number == 1 else store.advance_incident)(mine)
        except BillowError as error:
            raise AssertionError(f"{error}: step {step.number}") from error
