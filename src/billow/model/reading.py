# SPDX-License-Identifier: Apache-2.0
"""From the text form to a pool. Every error says its line and what to write instead."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle
from typing import Any, TypeVar

from billow.errors import Invalid
from billow.model.group import Fact, Gap, Group, Link, Uplink
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Kind, Rule, Scope, State
from billow.model.lines import Line, lines_of, ranged
from billow.model.options import (
    HOST_OPTIONS,
    INSTANCE_OPTIONS,
    SHAPE_FLAGS,
    SHAPE_OPTIONS,
    Option,
    word_reader,
)
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.spelling import (
    read_cores,
    read_measure,
    read_place,
    read_size,
    read_time,
    read_whole,
    wrong,
)

Value = TypeVar("Value")

_STATE = word_reader(State)
_KEYWORDS = ("shape", "group", "host", *Kind, "link", "uplink", "fact", "gap")
_NODE = re.compile(r"(?:([0-9]{1,2})x)?\(([^()]*)\)", re.ASCII)
_HOST_FORM = "host ID nodes=2x(44,180GiB,huge=64GiB,gpus=1) [rack=R] [zone=Z] [traits=A,B] ..."
_INSTANCE_FORM = "vm ID SHAPE HOST[/NODE[+NODE]]|- [STATE] [group=G] [priority=N] ..."


def parse(text: str) -> Pool:
    """Return the pool that a text stands for.

    Raises:
        Invalid: with the line's number and what to write instead.
    """
    lines = list(lines_of(text, frozenset({"fact", "gap"})))
    taken_at = _taken_at(lines[0] if lines else Line(1, ("",), {}))
    by_keyword: dict[str, list[Line]] = {keyword: [] for keyword in _KEYWORDS}
    for line in lines[1:]:
        if line.keyword not in by_keyword:
            raise line.wrong(
                f"{line.keyword[:60]!a} is no kind of line", f"begin with {', '.join(_KEYWORDS)}"
            )
        by_keyword[line.keyword].append(line)
    return _Reading(by_keyword).pool(taken_at)


def _taken_at(line: Line) -> float:
    if line.words != ("billow-pool", "1") or line.options.keys() - {"taken"}:
        raise line.wrong("this is no pool in text form", 'begin with the line "billow-pool 1"')
    taken = line.options.get("taken")
    return line.located(lambda: read_time(taken)) if taken else 0.0


class _Reading:
    """What has been read so far; later lines point at it."""

    def __init__(self, lines: Mapping[str, list[Line]]) -> None:
        self._lines = lines
        self._shapes = {each.name: each for each in self._each("shape", _shape)}
        self._groups = {each.name: each for each in self._each("group", _group)}
        self._hosts: dict[str, Host] = {}
        self._instances: dict[str, Instance] = {}

    def pool(self, taken_at: float) -> Pool:
        """Return the pool. Raises Invalid."""
        for line in self._lines["host"]:
            self._read_hosts(line)
        for line in (line for kind in Kind for line in self._lines[kind]):
            self._read_instances(line)
        return Pool.build(
            self._hosts.values(),
            self._instances.values(),
            shapes=self._shapes.values(),
            groups=self._groups.values(),
            links=self._each("link", _link),
            uplinks=self._each("uplink", _uplink),
            facts=self._each("fact", _fact),
            gaps=self._each("gap", _gap),
            taken_at=taken_at,
        )

    def _each(self, keyword: str, read: Callable[[Line], Value]) -> list[Value]:
        values: list[Value] = []
        names: set[str] = set()
        for line in self._lines[keyword]:
            values.append(line.located(lambda line=line: read(line)))  # type: ignore[misc]
            if keyword in ("shape", "group", "uplink"):
                if line.words[1] in names:
                    raise _twice(line, line.words[1])
                names.add(line.words[1])
        return values

    def _read_hosts(self, line: Line) -> None:
        line.demand(1, 1, _HOST_FORM)
        options = dict(line.options)
        nodes = line.located(lambda: _nodes(options.pop("nodes", "")))
        values = _read_options(line, options, HOST_OPTIONS)
        for name in ranged(line, line.words[1]):
            if name in self._hosts:
                raise _twice(line, name)
            self._hosts[name] = line.located(lambda name=name: Host(name, nodes, **values))  # type: ignore[misc]

    def _read_instances(self, line: Line) -> None:
        line.demand(3, 4, _INSTANCE_FORM)
        _, name, shape, place, *state = line.words
        if shape not in self._shapes:
            raise line.wrong(
                f"there is no shape {shape[:60]!a}", "declare it: shape NAME cpu=16 memory=32GiB"
            )
        values = _read_options(line, line.options, INSTANCE_OPTIONS)
        values.update(shape=self._shapes[shape], kind=Kind(line.keyword))
        hosts = [_read_at(line, read_place, each) for each in ranged(line, place)]
        default = State.RUNNING if hosts[0][0] else State.REQUESTED
        values["state"] = _read_at(line, _STATE, state[0]) if state else default
        for each, (host, nodes) in zip(ranged(line, name), cycle(hosts)):
            self._add(line, {**values, "id": each, "host": host, "nodes": nodes})

    def _add(self, line: Line, values: Mapping[str, Any]) -> None:
        instance = line.located(lambda: Instance(**values))
        if instance.id in self._instances:
            raise _twice(line, instance.id)
        if instance.host:
            self._check_place(line, instance)
        if instance.group and instance.group not in self._groups:
            raise line.wrong(
                f"there is no group {instance.group}",
                f"declare it: group {instance.group} anti-affinity host",
            )
        self._instances[instance.id] = instance

    def _check_place(self, line: Line, instance: Instance) -> None:
        host = self._hosts.get(instance.host)
        if host is None:
            raise line.wrong(f"there is no host {instance.host}", f"declare it: {_HOST_FORM}")
        wanted = instance.shape.numa_nodes
        if len(instance.nodes) != wanted or any(n >= len(host.nodes) for n in instance.nodes):
            raise line.wrong(
                f"shape {instance.shape.name} takes {wanted} of the {len(host.nodes)} NUMA nodes "
                f"of {host.id}, not {list(instance.nodes)}",
                f"write the nodes behind the host: {host.id}/0",
            )


def _read_options(
    line: Line, options: Mapping[str, str], known: Iterable[Option]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    by_key = {option.key: option for option in known} if options else {}
    for key, text in options.items():
        option = by_key.get(key)
        if option is None:
            raise line.wrong(
                f"{key[:60]!a} is no option of a {line.keyword}", f"known are {', '.join(by_key)}"
            )
        values[option.attribute] = _read_option(line, option, text)
    return values


def _read_option(line: Line, option: Option, text: str) -> object:
    try:
        return option.read(text)
    except Invalid as error:
        raise line.wrong(f"{option.key}: {error.brief}", error.fix) from None


def _read_at(line: Line, read: Callable[[str], Value], text: str) -> Value:
    try:
        return read(text)
    except Invalid as error:
        raise line.wrong(error.brief, error.fix) from None


def _twice(line: Line, name: str) -> Invalid:
    return line.wrong(f"{line.keyword} {name} stands twice", "give each its own id")


def _nodes(text: str) -> tuple[Node, ...]:
    nodes: list[Node] = []
    place = 0
    while found := _NODE.match(text, place):
        nodes += [_node(found[2])] * int(found[1] or 1)
        place = found.end()
        if text[place : place + 1] == "+":
            place += 1
            continue
        break
    if not nodes or place != len(text) or text.endswith("+"):
        raise wrong(text, "a list of NUMA nodes", f"write: {_HOST_FORM}")
    return tuple(nodes)


def _node(text: str) -> Node:
    cores, *rest = text.split(",")
    if not rest:
        raise wrong(text, "a NUMA node", "write (CPUS,MEMORY): (44,180GiB)")
    amounts = {"cpu_milli": read_cores(cores), "memory_mib": read_size(rest[0])}
    for part in rest[1:]:
        key, _, value = part.partition("=")
        if key == "huge" and "huge_mib" not in amounts:
            amounts["huge_mib"] = read_size(value)
        elif key == "gpus" and "gpus" not in amounts:
            amounts["gpus"] = read_whole(value)
        else:
            raise wrong(part, "a part of a NUMA node", "write (44,180GiB,huge=64GiB,gpus=1)")
    return Node(**amounts)


def _shape(line: Line) -> Shape:
    line.demand(1, 1 + len(SHAPE_FLAGS), "shape NAME cpu=16 memory=32GiB [numa=1] [huge] ...")
    values = _read_options(line, line.options, SHAPE_OPTIONS)
    for word in line.words[2:]:
        if word not in SHAPE_FLAGS:
            raise wrong(word, "a word of a shape", f"known are {', '.join(SHAPE_FLAGS)}")
        values[SHAPE_FLAGS[word]] = True
    for key in ("cpu", "memory"):
        if key not in line.options:
            raise Invalid(f"the shape has no {key}", fix="write cpu=16 memory=32GiB")
    return Shape(line.words[1], **values)


def _group(line: Line) -> Group:
    _no_options(line)
    line.demand(2, 3, "group NAME affinity|anti-affinity [host|rack|zone]")
    scope = word_reader(Scope)(line.words[3]) if line.words[3:] else Scope.HOST
    return Group(line.words[1], word_reader(Rule)(line.words[2]), scope)


def _link(line: Line) -> Link:
    _no_options(line)
    line.demand(3, 3, "link HOST HOST 2000MiB/s")
    return Link(line.words[1], line.words[2], read_measure(line.words[3]))


def _uplink(line: Line) -> Uplink:
    _no_options(line)
    line.demand(2, 2, "uplink RACK 5000MiB/s")
    return Uplink(line.words[1], read_measure(line.words[2]))


def _fact(line: Line) -> Fact:
    line.demand(3, 3, "fact SUBJECT KEY VALUE")
    return Fact(*line.words[1:])


def _gap(line: Line) -> Gap:
    line.demand(2, 2, 'gap SUBJECT "WHY"')
    return Gap(*line.words[1:])


def _no_options(line: Line) -> None:
    _read_options(line, line.options, ())
