# SPDX-License-Identifier: Apache-2.0
"""The form for new instances: what it offers, what stands in its way, the plan of it."""

from starlette.responses import Response

from billow.errors import BillowError
from billow.model.kinds import Arch, Kind, MigrationPolicy, Rule, Scope, Service, Storage
from billow.web import commands
from billow.web.requested import wish_from
from billow.web.visit import Visit, go, under

STRATEGIES = ("spread", "pack")


async def form(visit: Visit) -> Response:
    """Show the form."""
    scene = await visit.scene()
    return await visit.page(
        "new_instances.html",
        kinds=[kind.value for kind in Kind],
        services=[service.value for service in Service],
        policies=[policy.value for policy in MigrationPolicy],
        disks=[place.value for place in Storage],
        archs=[arch.value for arch in Arch],
        rules=[rule.value for rule in Rule],
        scopes=[scope.value for scope in Scope],
        strategies=STRATEGIES,
        groups=scene.pool.groups,
        zones=[zone for zone in scene.pool.hosts.zone.categories if zone],
        images=[image for image in scene.pool.instances.image.categories if image],
        given=visit.asked,
    )


async def preview(visit: Visit) -> Response:
    """Say what the form would ask for and what stands in its way, while it is filled in."""
    sent = await visit.form()
    try:
        wish = wish_from(sent)
        obstacles = await visit.billow.why_not(wish.requests[0]) if not wish.groups else ()
    except BillowError as error:
        return visit.part("parts/preview.html", error=error, wish=None, line="", obstacles=())
    line = commands.create(wish.requests, wish.groups, wish.strategy, wish.name)
    return visit.part("parts/preview.html", error=None, wish=wish, line=line, obstacles=obstacles)


async def create(visit: Visit) -> Response:
    """Make the plan that places the new instances, and go there to read it."""
    wish = wish_from(await visit.form())
    plan = await visit.billow.propose(
        "placement",
        {"strategy": wish.strategy},
        requests=wish.requests,
        groups=wish.groups,
        actor=visit.person.name,
    )
    return go(under("plans", plan.id))
