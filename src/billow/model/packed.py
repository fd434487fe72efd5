# SPDX-License-Identifier: Apache-2.0
"""A pool as few bytes: columns as they lie in memory, compressed. For keeping, not for people.

Layout: `BLWP`, one byte of version, eight bytes of length, then a zlib stream of a JSON head (one
line) and the columns that it names, little-endian, one after another.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import numpy as np

from billow.errors import Invalid
from billow.model.column import Categorical
from billow.model.document import read, written
from billow.model.group import Fact, Gap, Group, Link, Uplink
from billow.model.hosts import Hosts
from billow.model.instances import Instances
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.table import Table

MAGIC: Final = b"BLWP\x01"
_LARGEST_BYTES: Final = 2**31
_PARTS: Final = {
    "shapes": Shape,
    "groups": Group,
    "links": Link,
    "uplinks": Uplink,
    "facts": Fact,
    "gaps": Gap,
}
_LATER: Final = frozenset({"uplinks"})
"""Parts that older packed pools lack."""
_LEVEL: Final = 1


def pack(pool: Pool) -> bytes:
    """Return a pool as bytes. Linear."""
    blocks: list[bytes] = []
    head = {
        "taken_at": pool.taken_at,
        "hosts": _packed_table(pool.hosts, blocks),
        "instances": _packed_table(pool.instances, blocks),
        **{name: written(getattr(pool, name)) for name in _PARTS},
    }
    body = b"".join([json.dumps(head, allow_nan=False).encode(), b"\n", *blocks])
    return b"".join([MAGIC, len(body).to_bytes(8, "little"), zlib.compress(body, _LEVEL)])


def unpack(data: bytes) -> Pool:
    """Return the pool that `pack` made bytes of.

    Raises:
        Invalid: the bytes are cut off, damaged, of another version, or no packed pool at all.
    """
    if not data.startswith(MAGIC[:4]):
        raise _damaged("it does not begin like one")
    if not data.startswith(MAGIC):
        raise _damaged("it is of another version")
    try:
        return _unpacked(_inflated(data))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _damaged(detail: str) -> Invalid:
    return Invalid(
        "this is no packed pool that can be read here",
        (detail,),
        fix="take another copy, or pack the pool again",
        code="invalid-packed-pool",
    )


def _inflated(data: bytes) -> bytes:
    length = int.from_bytes(data[5:13], "little")
    if length > _LARGEST_BYTES:
        raise _damaged("it says that it is larger than 2 GiB")
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data[13:], length + 1)
    except zlib.error as error:
        raise _damaged(str(error)) from error
    if len(body) != length or not inflater.eof or inflater.unused_data:
        raise _damaged("its length is not what it says")
    return body


def _packed_table(table: Table, blocks: list[bytes]) -> list[object]:
    return [_packed_column(each.name, getattr(table, each.name), blocks) for each in fields(table)]


def _packed_column(name: str, column: Any, blocks: list[bytes]) -> dict[str, object]:  # noqa: ANN401
    head: dict[str, object] = {"name": name}
    if isinstance(column, tuple):
        block = "\n".join(column).encode()
        head["rows"] = len(column)
    else:
        array = column.codes if isinstance(column, Categorical) else column
        if isinstance(column, Categorical):
            head["categories"] = written(column.categories)
        head["shape"] = list(array.shape)
        block = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    head["bytes"] = len(block)
    blocks.append(block)
    return head


def _unpacked(body: bytes) -> Pool:
    line_end = body.index(b"\n")
    head = json.loads(body[:line_end])
    blocks = _blocks(body, line_end + 1, [*head["hosts"], *head["instances"]])
    parts: dict[str, Any] = {
        name: tuple(read(kind, each, f"the packed pool's {name}") for each in _part(head, name))
        for name, kind in _PARTS.items()
    }
    return Pool.of_columns(
        Hosts.of_columns(**_unpacked_columns(Hosts.of(()), head["hosts"], blocks)),
        Instances.of_columns(**_unpacked_columns(_NO_INSTANCES, head["instances"], blocks)),
        taken_at=head["taken_at"],
        **parts,
    )


def _part(head: Mapping[str, Any], name: str) -> list[Any]:
    return list(head.get(name, ()) if name in _LATER else head[name])


_NO_INSTANCES: Final = Instances.of((), {}, {})


def _blocks(body: bytes, start: int, heads: list[Mapping[str, Any]]) -> list[memoryview]:
    view, blocks = memoryview(body), []
    for head in heads:
        blocks.append(view[start : start + head["bytes"]])
        start += head["bytes"]
    if start != len(body):
        raise _damaged("something is left over")
    return blocks[::-1]


def _unpacked_columns(
    empty: Table, heads: list[Mapping[str, Any]], blocks: list[memoryview]
) -> dict[str, Any]:
    return {
        head["name"]: _unpacked_column(getattr(empty, head["name"]), head, blocks.pop())
        for head in heads
    }


def _unpacked_column(like: Any, head: Mapping[str, Any], block: memoryview) -> Any:  # noqa: ANN401
    if isinstance(like, tuple):
        return tuple(str(block, "utf-8").split("\n")) if head["rows"] else ()
    dtype = like.codes.dtype if isinstance(like, Categorical) else like.dtype
    array = np.frombuffer(block, dtype.newbyteorder("<")).astype(dtype).reshape(head["shape"])
    if not isinstance(like, Categorical):
        return array
    categories = [frozenset(c) if isinstance(c, list) else c for c in head["categories"]]
    if len(array) and not 0 <= array.min() <= array.max() < len(categories):
        raise _damaged(f"the column {head['name']} has codes without a meaning")
    return Categorical.coded(array, categories)
