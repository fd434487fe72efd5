# SPDX-License-Identifier: Apache-2.0
"""Pools for tests, in one line.

    pool("3 hosts x 64GiB 16c; a: 8 vms x 4GiB 2c spread")

Clauses are separated by `;`. Hosts are named h1, h2, ... unless the clause has a name of its own
(`arm: 2 hosts x ...` gives arm1, arm2); instances likewise (vm1, vm2, ... without a name). Words:

    hosts       64GiB 16c 2numa 4gpus zone=z rack=r aarch64 off failed cordoned huge=8GiB +TRAIT
                link=MIB_PER_S
    instances   4GiB 2c 1numa 1gpus spread|pack|on=HOST apart|together immovable stopped
                zone=z dirty=MIB_PER_S priority=N aarch64 huge +TRAIT

`spread` puts instances on the hosts in turn, `pack` on the first with room; without either they are
requests. `apart` puts the clause in an anti-affinity group of its name, `together` in an affinity
group. Anything else is read as a pool's text form.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from billow.errors import Invalid
from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Health, Kind, Power, Rule, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.text import parse
from billow.testing.rooms import Rooms

_CLAUSE = re.compile(r"(?:(?P<name>[\w-]+):\s*)?(?P<count>\d+)\s+(?P<what>\w+)\s+x\s+(?P<words>.+)")
_AMOUNT = re.compile(r"(\d+)(GiB|MiB|c|numa|gpus?)")
_KINDS = {f"{kind}s": kind for kind in Kind} | {str(kind): kind for kind in Kind}
_HOSTS = ("host", "hosts")
Words = dict[str, Any]


def pool(text: str) -> Pool:
    """Return the pool that a one-line spec or a text form describes. Raises Invalid."""
    clauses = [clause.strip() for clause in text.split(";") if clause.strip()]
    first = _CLAUSE.fullmatch(clauses[0]) if clauses else None
    if first is None or first["what"] not in _HOSTS:
        return parse(text)
    hosts: list[Host] = []
    instances: list[Instance] = []
    groups: list[Group] = []
    rooms = Rooms(hosts)
    for clause in clauses:
        found = _match(clause)
        words = _words(clause, found["words"])
        if found["what"] in _HOSTS:
            hosts += _hosts(found, words, len(hosts))
        else:
            made = _instances(clause, found, words)
            instances += [rooms.settle(each, words.get("where", "")) for each in made]
            groups += _group(found["name"], words)
    return Pool.build(hosts, instances, groups=groups)


def _match(clause: str) -> re.Match[str]:
    found = _CLAUSE.fullmatch(clause)
    if found is None or found["what"] not in (*_HOSTS, *_KINDS):
        raise Invalid(
            f"cannot read {clause!a} as a clause",
            fix='write "3 hosts x 64GiB 16c" or "a: 8 vms x 4GiB 2c spread"',
        )
    return found


def _words(clause: str, text: str) -> Words:
    """Return what the words of a clause say, by meaning. Raises Invalid for an unknown word."""
    words: Words = {"traits": frozenset(), "memory": 0, "cpu": 0}
    for word in text.split():
        amount = _AMOUNT.fullmatch(word)
        key, equals, value = word.partition("=")
        if amount is not None:
            words |= _amount(int(amount[1]), amount[2])
        elif word.startswith("+"):
            words["traits"] |= {word[1:]}
        elif equals and key in ("zone", "rack", "on", "dirty", "priority", "huge", "link"):
            words["where" if key == "on" else key] = value
        elif word in _FLAGS:
            words |= _FLAGS[word]
        else:
            raise Invalid(f"cannot read the word {word!a} in {clause!a}")
    return words


_FLAGS: dict[str, Words] = {
    "spread": {"where": "spread"},
    "pack": {"where": "pack"},
    "apart": {"rule": Rule.ANTI_AFFINITY},
    "together": {"rule": Rule.AFFINITY},
    "immovable": {"immovable": "immovable"},
    "stopped": {"state": State.STOPPED},
    "huge": {"huge": "yes"},
    "off": {"power": Power.OFF},
    "failed": {"health": Health.FAILED},
    "cordoned": {"cordon": "maintenance"},
    **{str(arch): {"arch": arch} for arch in Arch},
}


def _amount(number: int, unit: str) -> Words:
    match unit:
        case "GiB":
            return {"memory": number * 1024}
        case "MiB":
            return {"memory": number}
        case "c":
            return {"cpu": number * 1000}
        case "numa":
            return {"numa": number}
        case _:
            return {"gpus": number}


def _hosts(found: re.Match[str], words: Words, known: int) -> Iterable[Host]:
    nodes = words.get("numa", 1)
    huge = _amount_of(words.get("huge", "0MiB"))
    node = Node(
        words["cpu"] // nodes,
        (words["memory"] - huge) // nodes,
        huge // nodes,
        words.get("gpus", 0) // nodes,
    )
    fields = {key: words[key] for key in _HOST_WORDS if key in words}
    host = Host("h", (node,) * nodes, bandwidth_mib_s=float(words.get("link", 1000)), **fields)
    first = 1 if found["name"] else known + 1
    name = found["name"] or "h"
    return [replace(host, id=f"{name}{first + step}") for step in range(int(found["count"]))]


_HOST_WORDS = ("zone", "rack", "arch", "power", "health", "cordon", "traits")


def _amount_of(text: str) -> int:
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise Invalid(f"cannot read {text!a} as an amount", fix="write 8GiB or 512MiB")
    return int(_amount(int(found[1]), found[2]).get("memory", 0))


def _instances(clause: str, found: re.Match[str], words: Words) -> Sequence[Instance]:
    if not words["memory"] or not words["cpu"]:
        raise Invalid(f"the instances of {clause!a} need memory and CPUs", fix="write 4GiB 2c")
    kind = _KINDS[found["what"]]
    one = Instance(
        "x",
        _shape(words),
        kind,
        state=words.get("state", State.RUNNING) if "where" in words else State.REQUESTED,
        priority=int(words.get("priority", 0)),
        group=(found["name"] or "group") if "rule" in words else "",
        zone=words.get("zone", ""),
        immovable=words.get("immovable", ""),
        dirty_mib_s=float(words.get("dirty", "nan")),
    )
    name = found["name"] or str(kind)
    return [replace(one, id=f"{name}{number + 1}") for number in range(int(found["count"]))]


def _shape(words: Words) -> Shape:
    """Return the shape of a clause's words; equal words give equal shapes with equal names."""
    parts = [f"{words['cpu']}m", f"{words['memory']}mib"]
    parts += [f"{words[key]}{key}" for key in ("numa", "gpus") if key in words]
    parts += [str(words[key]) for key in ("arch",) if key in words]
    parts += [key for key in ("huge",) if key in words]
    return Shape(
        "-".join([*parts, *sorted(words["traits"])]),
        words["cpu"],
        words["memory"],
        words.get("numa", 0),
        huge_pages="huge" in words,
        gpus=words.get("gpus", 0),
        arch=words.get("arch"),
        traits=words["traits"],
    )


def _group(name: str | None, words: Words) -> list[Group]:
    return [Group(name or "group", words["rule"])] if "rule" in words else []
