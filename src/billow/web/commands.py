# SPDX-License-Identifier: Apache-2.0
"""The command line that does what a button does, so that whoever clicks can learn to script it.

Names are quoted for a shell. This module must not run anything.
"""

import shlex
from collections.abc import Sequence

from billow.model.ask import Ask, AskVerb
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Kind

ON_HOSTS = (AskVerb.CORDON, AskVerb.UNCORDON, AskVerb.POWER_ON, AskVerb.POWER_OFF)


def line(*words: str) -> str:
    """Return a `billow` command."""
    return shlex.join(("billow", *words))


def show(noun: str, name: str) -> str:
    """Return the command that shows one thing."""
    return line(noun, "show", name)


def apply(plan_id: str) -> str:
    """Return the command that carries a plan out."""
    return line("apply", plan_id)


def undo(run_id: str) -> str:
    """Return the command that plans the way back from a run."""
    return line("undo", run_id)


def stop(run_id: str) -> str:
    """Return the command that starts no new step of a run."""
    return line("run", "stop", run_id)


def ask(wanted: Ask) -> str:
    """Return the command of a direct request."""
    noun = "host" if wanted.verb in ON_HOSTS else "instance"
    words = [noun, wanted.verb.value, wanted.subject]
    if wanted.target:
        words += ["--to", wanted.target]
    if wanted.shape:
        words += ["--cpus", f"{wanted.shape.cpu_milli / 1000:g}"]
        words += ["--memory-mib", str(wanted.shape.memory_mib)]
    if wanted.why:
        words += ["--why", wanted.why]
    return line(*words)


def verb(name: str, subject: str, target: str = "") -> str:
    """Return the command of a direct request, from words."""
    return ask(Ask(AskVerb(name), subject, target))


def create(requests: Sequence[Instance], groups: Sequence[Group], strategy: str) -> str:
    """Return the command that asks for new instances."""
    first = requests[0]
    shape = first.shape
    words = ["instance", "create", first.id]
    words += ["--count", str(len(requests))] if len(requests) > 1 else []
    words += ["--cpus", f"{shape.cpu_milli / 1000:g}", "--memory-mib", str(shape.memory_mib)]
    words += ["--kind", first.kind] if first.kind is not Kind.VM else []
    for option, value in (("image", first.image), ("zone", first.zone), ("group", first.group)):
        words += [f"--{option}", value] if value else []
    words += ["--rule", groups[0].rule, "--scope", groups[0].scope] if groups else []
    words += ["--strategy", strategy] if strategy != "spread" else []
    return line(*words)
