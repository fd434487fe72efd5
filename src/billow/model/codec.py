# SPDX-License-Identifier: Apache-2.0
"""Values of the model to and from JSON documents, each with a stable schema.

Faces and stores use these names and never walk the dataclasses themselves. A pool's document has
one object per host and instance, for people and programs; `packed` is the form for keeping many.
Reading raises `Invalid` that says where and what to do; a document of another version is refused,
never guessed at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, cast

import numpy as np

from billow.errors import Invalid
from billow.model.action import Action
from billow.model.column import Categorical, Declared
from billow.model.document import (
    Document,
    Misfit,
    Reader,
    check_fields,
    checked_mapping,
    fields_reader,
    list_reader,
    misfit,
    read,
    read_as,
    reader_of,
    shown,
    written,
)
from billow.model.event import Event
from billow.model.group import Fact, Gap, Group, Link, Uplink
from billow.model.host import Host, Node
from billow.model.instance import Instance, nodes_of
from billow.model.packed import pack, unpack
from billow.model.plan import Cost, Finding, Plan, Rejection, Step
from billow.model.pool import Pool
from billow.model.run import Entry, Progress, Run
from billow.model.shape import Shape
from billow.model.table import Table

__all__ = [
    "action_document",
    "action_from_document",
    "entry_document",
    "entry_from_document",
    "event_document",
    "event_from_document",
    "group_document",
    "group_from_document",
    "host_document",
    "host_from_document",
    "instance_document",
    "instance_from_document",
    "pack",
    "plan_document",
    "plan_from_document",
    "pool_document",
    "pool_from_document",
    "progress_document",
    "progress_from_document",
    "run_document",
    "run_from_document",
    "shape_document",
    "shape_from_document",
    "step_document",
    "step_from_document",
    "unpack",
]

POOL_FORMAT: Final = "billow-pool"
PLAN_FORMAT: Final = "billow-plan"
VERSION: Final = 1


def shape_document(shape: Shape) -> Document:
    """Return a shape as a document."""
    return _fields_of(shape)


def shape_from_document(document: object) -> Shape:
    """Return the shape that a document stands for. Raises Invalid."""
    return read(Shape, document, "the shape")


def host_document(host: Host) -> Document:
    """Return a host as a document."""
    return _fields_of(host)


def host_from_document(document: object) -> Host:
    """Return the host that a document stands for. Raises Invalid."""
    return read(Host, document, "the host")


def instance_document(instance: Instance) -> Document:
    """Return an instance as a document, its shape written out."""
    return _fields_of(instance)


def instance_from_document(document: object) -> Instance:
    """Return the instance that a document stands for. Raises Invalid."""
    return read(Instance, document, "the instance")


def group_document(group: Group) -> Document:
    """Return a group as a document."""
    return _fields_of(group)


def group_from_document(document: object) -> Group:
    """Return the group that a document stands for. Raises Invalid."""
    return read(Group, document, "the group")


def action_document(action: Action) -> Document:
    """Return an action as a document; `verb` says which."""
    return _fields_of(action)


def action_from_document(document: object) -> Action:
    """Return the action that a document stands for. Raises Invalid."""
    return cast(Action, read_as(reader_of(Action), document, "the action"))


def step_document(step: Step) -> Document:
    """Return a step as a document."""
    return _fields_of(step)


def step_from_document(document: object) -> Step:
    """Return the step that a document stands for. Raises Invalid."""
    return read(Step, document, "the step")


def progress_document(progress: Progress) -> Document:
    """Return how far an action is as a document."""
    return _fields_of(progress)


def progress_from_document(document: object) -> Progress:
    """Return the progress that a document stands for. Raises Invalid."""
    return read(Progress, document, "the progress")


def entry_document(entry: Entry) -> Document:
    """Return what the journal knows of an action as a document."""
    return _fields_of(entry)


def entry_from_document(document: object) -> Entry:
    """Return the entry that a document stands for. Raises Invalid."""
    return read(Entry, document, "the journal's entry")


def run_document(run: Run) -> Document:
    """Return a run as a document, its entries as a list in the plan's order."""
    return {**_fields_of(run), "entries": [entry_document(each) for each in run.entries.values()]}


def run_from_document(document: object) -> Run:
    """Return the run that a document stands for. Raises Invalid."""
    if not isinstance(document, Mapping) or not isinstance(document.get("entries", []), list):
        return read(Run, document, "the run")
    entries = [entry_from_document(each) for each in document.get("entries", [])]
    by_id = {entry.action_id: entry_document(entry) for entry in entries}
    return read(Run, {**document, "entries": by_id}, "the run")


def event_document(event: Event) -> Document:
    """Return an event as a document."""
    return _fields_of(event)


def event_from_document(document: object) -> Event:
    """Return the event that a document stands for. Raises Invalid."""
    return read(Event, document, "the event")


def plan_document(plan: Plan) -> Document:
    """Return a plan as a document; of the predicted pool it holds the digest only."""
    body = {
        each.name: written(getattr(plan, each.name))
        for each in fields(plan)
        if each.name != "predicted"
    }
    return {
        "format": PLAN_FORMAT,
        "version": VERSION,
        **body,
        "predicted_digest": plan.predicted.digest,
    }


def plan_from_document(document: object, predicted: Pool) -> Plan:
    """Return the plan that a document stands for.

    Raises:
        Invalid: the document is not a plan's, or `predicted` is not the pool that it predicts.
    """
    return cast(Plan, read_as(lambda it: _read_plan(it, predicted), document, "the plan"))


def pool_document(pool: Pool) -> Document:
    """Return a pool as a document with one object per host and instance. Linear."""
    return {
        "format": POOL_FORMAT,
        "version": VERSION,
        "taken_at": pool.taken_at,
        "digest": pool.digest,
        "shapes": written(pool.shapes),
        "groups": written(pool.groups),
        "hosts": _host_rows(pool),
        "instances": _instance_rows(pool),
        "links": written(pool.links),
        "uplinks": written(pool.uplinks),
        "facts": written(pool.facts),
        "gaps": written(pool.gaps),
    }


def pool_from_document(document: object) -> Pool:
    """Return the pool that a document stands for.

    Raises:
        Invalid: it is no pool, of another version, breaks a law of the model, or states a digest
            that is not that of its content.
    """
    return cast(Pool, read_as(_read_pool, document, "the pool"))


def _host_rows(pool: Pool) -> list[Document]:
    hosts = pool.hosts
    counts = hosts.node_count.tolist()
    nodes = [
        [dict(zip(_NODE_FIELDS, amounts, strict=True)) for amounts in row[:count]]
        for row, count in zip(hosts.capacity.tolist(), counts, strict=True)
    ]
    columns = {"id": hosts.id, "nodes": nodes, **_written_columns(hosts)}
    return _rows(Host, columns)


def _instance_rows(pool: Pool) -> list[Document]:
    table = pool.instances
    names = [*pool.hosts.id, ""]  # NOWHERE counts from the end
    masks, where = np.unique(table.nodes, return_inverse=True)
    nodes = [list(nodes_of(mask)) for mask in masks.tolist()]
    columns = {
        "id": table.id,
        "shape": [pool.shapes[code].name for code in table.shape.tolist()],
        "host": [names[row] for row in table.host.tolist()],
        "nodes": [nodes[place] for place in where.tolist()],
        **_written_columns(table),
    }
    return _rows(Instance, columns)


def _rows(kind: type[Host | Instance], columns: Mapping[str, Sequence[object]]) -> list[Document]:
    names = [each.name for each in fields(kind)]
    listed = zip(*(columns[name] for name in names), strict=True)
    return [dict(zip(names, values, strict=True)) for values in listed]


def _written_columns(table: Table) -> dict[str, Sequence[object]]:
    return {
        declared.attribute: _written_column(declared, getattr(table, name))
        for name, declared in table.declared().items()
    }


def _written_column(declared: Declared, column: Any) -> Sequence[object]:  # noqa: ANN401 (any column)
    if isinstance(column, Categorical):
        choices = [written(choice) for choice in column.categories]
        return [choices[code] for code in column.codes.tolist()]
    if declared.vocabulary is not None:
        words = [choice.value for choice in declared.vocabulary]
        return [words[code] for code in column.tolist()]
    if declared.unseen and np.isnan(column).any():
        return [written(each) for each in column.tolist()]
    plain: list[object] = column.tolist()
    return plain


_NODE_FIELDS = tuple(each.name for each in fields(Node))


def _fields_of(value: object) -> Document:
    return cast(Document, written(value))


_PLAN_READERS = {
    "id": reader_of(str),
    "based_on": reader_of(str),
    "steps": reader_of(tuple[Step, ...]),
    "cost": reader_of(Cost),
    "capabilities": reader_of(tuple[str, ...]),
    "findings": reader_of(tuple[Finding, ...]),
    "rejections": reader_of(tuple[Rejection, ...]),
    "gain": reader_of(dict[str, float]),
    "generation": reader_of(int),
    "parent": reader_of(str),
    "created_at": reader_of(float),
    "title": reader_of(str),
}


def _read_plan(document: object, predicted: Pool) -> Plan:
    mapping = _opened(document, PLAN_FORMAT)
    if mapping.pop("predicted_digest", None) != predicted.digest:
        raise misfit("the plan predicts another pool", fix="read the plan with its own pool")
    check_fields(mapping, ["id", "based_on", "steps"], _PLAN_READERS)
    values = {name: _read_at(_PLAN_READERS[name], mapping, name) for name in mapping}
    plan = Plan(predicted=predicted, **values)  # type: ignore[arg-type]  # read by its own readers
    if any(not 0 <= step.wave < len(plan.steps) for step in plan.steps):
        raise misfit("a step's wave is not between 0 and the number of steps")
    return plan


_POOL_READERS = {
    "taken_at": reader_of(float),
    "shapes": reader_of(tuple[Shape, ...]),
    "groups": reader_of(tuple[Group, ...]),
    "hosts": reader_of(tuple[Host, ...]),
    "links": reader_of(tuple[Link, ...]),
    "uplinks": reader_of(tuple[Uplink, ...]),
    "facts": reader_of(tuple[Fact, ...]),
    "gaps": reader_of(tuple[Gap, ...]),
}


def _read_pool(document: object) -> Pool:
    mapping = _opened(document, POOL_FORMAT)
    digest, rows = mapping.pop("digest", None), mapping.pop("instances", [])
    check_fields(mapping, [], _POOL_READERS)
    values = {name: _read_at(_POOL_READERS[name], mapping, name) for name in mapping}
    shapes = cast(Sequence[Shape], values.get("shapes", ()))
    by_name = {shape.name: shape for shape in shapes}
    reader = list_reader(fields_reader(Instance, {"shape": lambda it: _shape_named(it, by_name)}))
    values["instances"] = _read_at(reader, {"instances": rows}, "instances")
    try:
        pool = Pool.build(**{"hosts": (), **values})  # type: ignore[arg-type]  # as read
    except Invalid as error:
        raise Misfit(error) from None
    if digest is not None and digest != pool.digest:
        raise misfit(
            "the content is not what the digest says",
            fix="remove the field digest if the change was meant",
        )
    return pool


def _shape_named(name: object, shapes: Mapping[str, Shape]) -> Shape:
    if isinstance(name, str) and name in shapes:
        return shapes[name]
    raise misfit(f"{shown(name)} is no shape of this pool", fix="add it to the list shapes")


def _opened(document: object, kind: str) -> Document:
    """Return the document without its format and version. Raises Misfit when they are not ours."""
    mapping = dict(checked_mapping(document))
    name, version = mapping.pop("format", None), mapping.pop("version", None)
    if name != kind:
        raise misfit(f"this is no {kind} document", fix=f'its format must be "{kind}"')
    if version != VERSION or isinstance(version, bool):
        raise misfit(
            f"version {version!r:.20} of {kind} is not known here",
            fix=f"use version {VERSION}, or a newer Billow",
        )
    return mapping


def _read_at(reader: Reader, mapping: Mapping[str, object], name: str) -> object:
    try:
        return reader(mapping[name])
    except Misfit as error:
        error.path.append(f".{name}")
        raise
