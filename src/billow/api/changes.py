# SPDX-License-Identifier: Apache-2.0
"""Routes that ask for a change of hosts and instances.

Each makes a plan and answers 201 with it; with `apply=true` it carries the plan out at once and
answers 202 with the run.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from billow.api.caller import Caller, IfMatch, Operator, check_match, concern
from billow.api.offer import OFFERED, settled
from billow.api.requests import (
    Destination,
    NewAsks,
    NewDrain,
    NewInstances,
    NewLimit,
    NewRatios,
    NewSize,
    Reason,
    asks_of,
    instances_of,
    shape_of,
)
from billow.draining import drain
from billow.model.ask import Ask, AskVerb

router = APIRouter(prefix="/v1", tags=["changes"])

Apply = Annotated[
    bool, Query(description="Carry the plan out at once: 202 with the run instead of 201.")
]


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks for a change, and how it is meant."""

    caller: Caller
    apply: bool
    if_match: str

    async def settle(self, *asks: Ask) -> Response:
        """Answer requests with their one plan or its run."""
        check_match(await self.caller.billow.pool(), self.if_match)
        plan = await self.caller.billow.ask(asks, actor=self.caller.person.name)
        return await settled(self.caller, plan, apply=self.apply)


async def _call(caller: Operator, *, apply: Apply = False, if_match: IfMatch = "") -> Call:
    return Call(caller, apply, if_match)


async def _told(request: Request, body: NewAsks) -> NewAsks:
    """Return the requests; the audit knows them even when the caller may not ask for them."""
    concern(request, body.asks)
    return body


Change = Annotated[Call, Depends(_call, scope="function")]
Told = Annotated[NewAsks, Depends(_told)]


@router.post("/changes", summary="Change several things", status_code=201, responses=OFFERED)
async def change_several(body: Told, call: Change) -> Response:
    """Change hosts and instances by one plan, which does what is possible of it."""
    pool = await call.caller.billow.pool()
    return await call.settle(*asks_of(body.asks, pool))


@router.post("/drains", summary="Empty hosts", status_code=201, responses=OFFERED)
async def drain_hosts(body: NewDrain, call: Change) -> Response:
    """Close hosts and move what is on them elsewhere, by one plan."""
    check_match(await call.caller.billow.pool(), call.if_match)
    plan = await drain(call.caller.billow.loop, body.drain(), actor=call.caller.person.name)
    return await settled(call.caller, plan, apply=call.apply)


@router.post("/instances", summary="Create instances", status_code=201, responses=OFFERED)
async def create_instances(call: Change, body: NewInstances) -> Response:
    """Place one or many new instances by one plan."""
    pool = await call.caller.billow.pool()
    check_match(pool, call.if_match)
    plan = await call.caller.billow.propose(
        "placement",
        body.policy,
        requests=instances_of(body.instances, pool),
        groups=[each.group() for each in body.groups],
        actor=call.caller.person.name,
    )
    return await settled(call.caller, plan, apply=call.apply)


@router.delete(
    "/instances/{instance:path}", summary="Delete an instance", status_code=201, responses=OFFERED
)
async def delete_instance(call: Change, instance: str) -> Response:
    """Destroy an instance and what it stored. There is no way back."""
    return await call.settle(Ask(AskVerb.DELETE, instance))


@router.post(
    "/instances/{instance:path}/migrate",
    summary="Move an instance",
    status_code=201,
    responses=OFFERED,
)
async def migrate_instance(
    call: Change, instance: str, body: Destination | None = None
) -> Response:
    """Move a running instance live, to a host or to wherever placement says."""
    sent = body or Destination()
    asked = Ask(AskVerb.MIGRATE, instance, target=sent.target, why=sent.why)
    return await call.settle(replace(asked, migration=sent.policy, downtime_s=sent.downtime_s))


@router.post(
    "/instances/{instance:path}/resize",
    summary="Resize an instance",
    status_code=201,
    responses=OFFERED,
)
async def resize_instance(call: Change, instance: str, body: NewSize) -> Response:
    """Give an instance another shape where it is."""
    shape = shape_of(body.shape, await call.caller.billow.pool())
    return await call.settle(Ask(AskVerb.RESIZE, instance, shape=shape, why=body.why))


@router.post(
    "/instances/{instance:path}/throttle",
    summary="Limit an instance's CPU",
    status_code=201,
    responses=OFFERED,
)
async def throttle_instance(call: Change, instance: str, body: NewLimit) -> Response:
    """Let an instance use so many CPUs and no more; 0 lifts the limit."""
    return await call.settle(Ask(AskVerb.THROTTLE, instance, why=body.why, cpus=body.cpus))


@router.post(
    "/hosts/{host:path}/allot",
    summary="Set what a host sells per CPU and MiB",
    status_code=201,
    responses=OFFERED,
)
async def allot_host(call: Change, host: str, body: NewRatios) -> Response:
    """Let a host sell more or less than it has; a ratio that is not given stays."""
    cpu, memory = body.cpu_ratio, body.memory_ratio
    return await call.settle(
        Ask(AskVerb.ALLOT, host, why=body.why, cpu_ratio=cpu, memory_ratio=memory)
    )


def _add_plain(verb: AskVerb, words: str) -> None:
    """Add the route of a verb that needs no more than a name and a reason."""
    noun = verb.noun

    async def change(
        call: Change, name: Annotated[str, Path(alias=noun)], body: Reason | None = None
    ) -> Response:
        return await call.settle(Ask(verb, name, why=body.why if body else ""))

    router.add_api_route(
        f"/{noun}s/{{{noun}:path}}/{verb}",
        change,
        methods=["POST"],
        status_code=201,
        responses=OFFERED,
        summary=words,
        operation_id=f"{verb}_{noun}",
    )


_add_plain(AskVerb.START, "Start a stopped instance")
_add_plain(AskVerb.STOP, "Stop an instance; it keeps its place")
_add_plain(AskVerb.SUSPEND, "Let a running instance stand still in memory")
_add_plain(AskVerb.RESUME, "Let a suspended instance go on")
_add_plain(AskVerb.EVACUATE, "Start an instance of a host without power on another one")
_add_plain(AskVerb.CORDON, "Let nothing new come to a host")
_add_plain(AskVerb.UNCORDON, "Let instances come to a host again")
_add_plain(AskVerb.POWER_ON, "Give a host power")
_add_plain(AskVerb.POWER_OFF, "Shut an empty host down")
_add_plain(AskVerb.FENCE, "Make sure that a host runs nothing any more")
_add_plain(AskVerb.REPAIR, "Put an engine's own records of a host right")
