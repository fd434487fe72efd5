# SPDX-License-Identifier: Apache-2.0
"""The instance table, an instance's page, and what can be asked of instances."""

from starlette.responses import Response

from billow.errors import Invalid
from billow.model.ask import MOST_DOWNTIME_S, Ask, AskVerb
from billow.model.instance import Instance
from billow.model.kinds import Kind, MigrationPolicy, Service, State, Storage
from billow.web import instance_table
from billow.web.actions import instance_actions, verb_named
from billow.web.forms import Form
from billow.web.history import history_of
from billow.web.listing import SIZES, address
from billow.web.requested import MOST_CPUS, shape_from
from billow.web.visit import Visit, go, under

MOST_NAMES = 10_000
ON_ONE = tuple(verb for verb in AskVerb if verb.noun == "instance")
MANY = {verb.value: verb for verb in ON_ONE if verb not in (AskVerb.RESIZE, AskVerb.THROTTLE)}
"""What can be asked of many instances at once."""


async def instances(visit: Visit) -> Response:
    """Show the table of instances."""
    scene = await visit.scene()
    at = address("/instances", visit.asked, instance_table.FILTERS)
    page, lines = instance_table.page_of(scene.pool, at)
    table = scene.pool.instances
    context = {
        "at": at,
        "page": page,
        "lines": lines,
        "sizes": SIZES,
        "states": [state.value for state in State],
        "kinds": [kind.value for kind in Kind],
        "services": [service.value for service in Service],
        "policies": [policy.value for policy in MigrationPolicy],
        "disks": [place.value for place in Storage],
        "groups": [group.name for group in scene.pool.groups],
        "tenants": [tenant for tenant in table.tenant.categories if tenant],
        "images": [image for image in table.image.categories if image],
    }
    if visit.is_fragment:
        return visit.part("parts/instance_rows.html", **context)
    return await visit.page("instances.html", **context)


async def instance(visit: Visit) -> Response:
    """Show one instance: its state, its place, what happened to it."""
    scene, name = await visit.scene(), visit.path("name")
    one = scene.pool.instance(name)
    context = {
        "instance": one,
        "group": scene.pool.group(one.group) if one.group else None,
        "facts": [fact for fact in scene.pool.facts if fact.subject == f"instance/{name}"],
    }
    if visit.is_fragment:
        return visit.part("parts/instance_live.html", **context)
    return await visit.page(
        "instance.html",
        **context,
        actions=instance_actions(one),
        policies=[policy.value for policy in MigrationPolicy],
        history=await history_of(visit.billow, f"instance/{name}"),
    )


async def ask(visit: Visit) -> Response:
    """Make the plan of one request on an instance, and go there to read it."""
    form, name = await visit.form(), visit.path("name")
    wanted = _wanted(visit, form, verb_named(visit.path("verb"), ON_ONE), name)
    plan = await visit.billow.ask([await wanted], actor=visit.person.name)
    return go(under("plans", plan.id))


async def ask_many(visit: Visit) -> Response:
    """Make one plan for the same request on several instances, and go there to read it."""
    form = await visit.form()
    verb = MANY.get(form.text("verb"))
    names = form.each("name")
    if verb is None or not names or len(names) > MOST_NAMES:
        raise Invalid(
            "nothing is chosen", fix="tick the instances in the table, then choose what to do"
        )
    plan = await visit.billow.ask([Ask(verb, name) for name in names], actor=visit.person.name)
    return go(under("plans", plan.id))


async def _wanted(visit: Visit, form: Form, verb: AskVerb, name: str) -> Ask:
    why = form.text("why")[:200]
    if verb is AskVerb.RESIZE:
        old: Instance = (await visit.scene()).pool.instance(name)
        return Ask(verb, name, shape=shape_from(form, old.shape), why=why)
    if verb is AskVerb.THROTTLE:
        return Ask(verb, name, why=why, cpus=form.measure("cpus", 0, most=MOST_CPUS))
    if verb is AskVerb.MIGRATE:
        return _move(form, name, why)
    return Ask(verb, name, why=why)


def _move(form: Form, name: str, why: str) -> Ask:
    """Return the move that a form asks for; what it leaves out is as instance and pool say."""
    chosen = form.word("policy", MigrationPolicy, MigrationPolicy.BALANCED)
    downtime_ms = form.measure("downtime_ms", 0, most=MOST_DOWNTIME_S * 1000)
    return Ask(
        AskVerb.MIGRATE,
        name,
        form.text("target"),
        why=why,
        migration=chosen if form.text("policy") else None,
        downtime_s=downtime_ms / 1000 or None,
    )
