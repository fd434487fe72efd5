# SPDX-License-Identifier: Apache-2.0
"""The command line that does what a button does, so that whoever clicks can learn to script it.

Names are quoted for a shell. This module must not run anything.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from billow.model.ask import Ask, AskVerb
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Kind, MigrationPolicy, Service, Storage
from billow.model.shape import Shape

ON_HOSTS = tuple(verb for verb in AskVerb if verb.noun == "host")


def line(*words: str) -> str:
    """Return a `billow` command."""
    return shlex.join(("billow", *words))


def show(noun: str, name: str) -> str:
    """Return the command that shows one thing."""
    return line(noun, "show", name)


def report(name: str, knobs: Mapping[str, str], plan_id: str = "") -> str:
    """Return the command that tells a report."""
    words = [f"--plan={plan_id}"] if plan_id else []
    return line("report", name, *(f"--set={key}={text}" for key, text in knobs.items()), *words)


def plan(name: str, knobs: Mapping[str, str]) -> str:
    """Return the command that asks a capability for its plan."""
    return line("plan", name, *(f"--set={key}={text}" for key, text in knobs.items()))


def apply(plan_id: str) -> str:
    """Return the command that carries a plan out."""
    return line("apply", plan_id)


def undo(run_id: str) -> str:
    """Return the command that plans the way back from a run."""
    return line("undo", run_id)


def stop(run_id: str) -> str:
    """Return the command that starts no new step of a run."""
    return line("run", "stop", run_id)


def migrations(run: str = "", instance: str = "", *, running: bool = False) -> str:
    """Return the command that lists live migrations."""
    words = [f"--run={run}"] if run else []
    words += [f"--instance={instance}"] if instance else []
    return line("migration", "list", *words, *["--running"] * running)


def cancel(migration_id: str) -> str:
    """Return the command that takes a live migration back."""
    return line("migration", "cancel", migration_id)


def incidents(host: str = "", *, is_open: bool = False) -> str:
    """Return the command that lists failures of hosts."""
    return line("incident", "list", *([f"--host={host}"] if host else []), *["--open"] * is_open)


def release(incident_id: str) -> str:
    """Return the command that lets a held incident go on."""
    return line("incident", "release", incident_id, "--why=WHAT I SAW")


def assess(name: str, target: str = "") -> str:
    """Return the command that measures a move beforehand."""
    return line("instance", "assess", name, *([f"--to={target}"] if target else []))


def ask(wanted: Ask) -> str:
    """Return the command of a direct request."""
    words = [wanted.verb.noun, wanted.verb.value, wanted.subject]
    words += [f"--to={wanted.target}"] if wanted.target else []
    words += [f"--policy={wanted.migration}"] if wanted.migration else []
    words += [f"--downtime={wanted.downtime_s * 1000:g}ms"] if wanted.downtime_s else []
    words += size(wanted.shape) if wanted.shape else []
    for option, value in (
        ("--cpus", wanted.cpus),
        ("--cpu-ratio", wanted.cpu_ratio),
        ("--memory-ratio", wanted.memory_ratio),
    ):
        words += [] if value is None else [f"{option}={value:g}"]
    words += [f"--why={wanted.why}"] if wanted.why else []
    return line(*words)


def verb(name: str, subject: str, target: str = "") -> str:
    """Return the command of a direct request, from words."""
    return ask(Ask(AskVerb(name), subject, target))


def throttle(name: str, cpus: float) -> str:
    """Return the command that limits an instance's CPU."""
    return ask(Ask(AskVerb.THROTTLE, name, cpus=cpus))


def allot(name: str, cpu_ratio: float, memory_ratio: float) -> str:
    """Return the command that says what a host sells."""
    return ask(Ask(AskVerb.ALLOT, name, cpu_ratio=cpu_ratio, memory_ratio=memory_ratio))


def resize(instance: Instance) -> str:
    """Return the command that gives an instance the size that it has."""
    size_now = replace(instance.shape, numa_nodes=0, huge_pages=False, gpus=0, arch=None)
    return ask(Ask(AskVerb.RESIZE, instance.id, shape=size_now))


def size(shape: Shape) -> list[str]:
    """Return a shape as the CLI's pairs: `cpu=2 memory=4096MiB`; what is usual is left out."""
    pairs = [f"cpu={shape.cpu_milli / 1000:g}", f"memory={shape.memory_mib}MiB"]
    pairs += [f"numa={shape.numa_nodes}"] * bool(shape.numa_nodes)
    pairs += ["huge=true"] * shape.huge_pages
    pairs += [f"gpus={shape.gpus}"] * bool(shape.gpus)
    pairs += [f"arch={shape.arch}"] * bool(shape.arch)
    return pairs


def create(requests: Sequence[Instance], groups: Sequence[Group], strategy: str, name: str) -> str:
    """Return the command that asks for new instances; several are named after `name`."""
    first = requests[0]
    words = ["instance", "create", name, *size(first.shape)]
    words += [f"kind={first.kind}"] if first.kind is not Kind.VM else []
    words += [f"service={first.service}"] if first.service is not Service.LATENCY else []
    balanced = first.migration is MigrationPolicy.BALANCED
    words += [] if balanced else [f"migration={first.migration}"]
    words += [f"disk={first.disk}"] if first.disk is not Storage.SHARED else []
    words += [
        f"{key}={getattr(first, key)}"
        for key in ("image", "zone", "group", "tenant", "priority")
        if getattr(first, key)
    ]
    words += ["--count", str(len(requests))] if len(requests) > 1 else []
    words += [f"--group={group.name}:{group.rule}:{group.scope}" for group in groups]
    words += [f"--set=strategy={strategy}"] if strategy != "spread" else []
    return line(*words)
