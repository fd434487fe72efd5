# SPDX-License-Identifier: Apache-2.0
"""What a page offers to do with a host or an instance, each with its command line.

An offer that makes no sense in the present state is shown with the reason; whether something is
possible is found out by the plan, not here.
"""

from collections.abc import Collection
from dataclasses import dataclass

from billow.errors import NotFound
from billow.model.ask import Ask, AskVerb
from billow.model.counting import counted
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.web import commands


@dataclass(frozen=True, slots=True)
class Offer:
    """One button.

    Attributes:
        verb: What is asked for.
        label: The button's text.
        effect: What it is for, in a few words.
        command: The same on the command line.
        not_now: Why it makes no sense at present; empty when it does.
        grave: Whether it destroys something.
    """

    verb: AskVerb
    label: str
    effect: str
    command: str
    not_now: str = ""
    grave: bool = False


def host_actions(host: Host, instances: int) -> list[Offer]:
    """Return what can be asked of a host."""
    off, cordoned = host.power is Power.OFF, bool(host.cordon)
    return [
        _offer(AskVerb.CORDON, host.id, "nothing new comes here", "it is cordoned" * cordoned),
        _offer(
            AskVerb.UNCORDON,
            host.id,
            "it takes instances again",
            "it is not cordoned" * (not cordoned),
        ),
        _offer(AskVerb.POWER_ON, host.id, "give it power", "it is on" * (host.power is Power.ON)),
        _offer(
            AskVerb.POWER_OFF,
            host.id,
            "shut it down; it must be empty",
            "it is off" if off else f"it has {counted(instances, 'instance')}" * bool(instances),
        ),
    ]


def instance_actions(instance: Instance) -> list[Offer]:
    """Return what can be asked of an instance, apart from what needs a figure."""
    up, placed = instance.state is State.RUNNING, bool(instance.host)
    nowhere = "" if placed else "it is on no host"
    return [
        _offer(AskVerb.START, instance.id, "start it where it is", nowhere or "it is running" * up),
        _offer(
            AskVerb.STOP,
            instance.id,
            "it keeps its place",
            nowhere or f"it is {instance.state}" * (instance.state is State.STOPPED),
        ),
        _offer(
            AskVerb.SUSPEND,
            instance.id,
            "it stands still and keeps its memory",
            nowhere or f"it is {instance.state}" * (not up),
        ),
        _offer(
            AskVerb.RESUME,
            instance.id,
            "it goes on where it stood still",
            nowhere or "it is not suspended" * (instance.state is not State.PAUSED),
        ),
        _offer(AskVerb.DELETE, instance.id, "destroy it and its disk", nowhere, grave=True),
    ]


def verb_named(word: str, known: Collection[AskVerb]) -> AskVerb:
    """Return the verb that a path names. Raises NotFound."""
    if word not in known:
        raise NotFound(f"nothing here is called {ascii(word)[:60]}", fix="use the page's buttons")
    return AskVerb(word)


def _offer(verb: AskVerb, subject: str, effect: str, not_now: str, *, grave: bool = False) -> Offer:
    label = verb.value.replace("-", " ").capitalize()
    return Offer(verb, label, effect, commands.ask(Ask(verb, subject)), not_now, grave)
