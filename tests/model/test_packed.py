# SPDX-License-Identifier: Apache-2.0

import json
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from billow.errors import Invalid
from billow.model.packed import MAGIC, pack, unpack
from billow.model.pool import Pool
from billow.model.text import parse
from tests.model.pools import assert_same, pools

POOL = parse(
    """billow-pool 1
    shape n cpu=1 memory=1GiB numa=1
    host h[1-3] nodes=2x(4,8GiB) rack=r1 traits=ssd
    group g anti-affinity
    vm a[1-6] n h[1-3]/1 group=g
    gap host/h1 "not seen"
    """
)


@settings(max_examples=50)
@given(pools())
def test_what_is_packed_is_unpacked_the_same(pool: Pool) -> None:
    assert_same(pool, unpack(pack(pool)))


def test_equal_pools_pack_alike() -> None:
    assert pack(unpack(pack(POOL))) == pack(POOL)


def test_every_cut_is_noticed() -> None:
    data = pack(POOL)
    for place in range(len(data)):
        with pytest.raises(Invalid):
            unpack(data[:place])


def test_a_flipped_bit_is_noticed_where_it_means_something() -> None:
    data = pack(POOL)
    noticed = 0
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        try:
            assert_same(POOL, unpack(bytes(flipped)))  # a bit that fills a byte up
        except Invalid:
            noticed += 1
    assert noticed > 0.98 * len(data)


def test_nothing_may_follow() -> None:
    with pytest.raises(Invalid, match="no packed pool"):
        unpack(pack(POOL) + b"x")


def repacked(body: bytes) -> bytes:
    return b"".join([MAGIC, len(body).to_bytes(8, "little"), zlib.compress(body)])


def with_head(change: Callable[[Any], object]) -> bytes:
    body = zlib.decompress(pack(POOL)[13:])
    line, rest = body.split(b"\n", 1)
    head = json.loads(line)
    change(head)
    return repacked(json.dumps(head).encode() + b"\n" + rest)


def column(head: dict[str, Any], table: str, name: str) -> dict[str, Any]:
    columns: list[dict[str, Any]] = head[table]
    return next(each for each in columns if each["name"] == name)


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.pop("hosts"),
        lambda head: head.update(taken_at=None),
        lambda head: head.update(taken_at="x"),
        lambda head: head.update(groups=[]),
        lambda head: head.update(shapes=[]),
        lambda head: head["hosts"].pop(),
        lambda head: column(head, "hosts", "rack").update(name="colour"),
        lambda head: column(head, "hosts", "rack").update(categories=[]),
        lambda head: column(head, "hosts", "rack").update(categories=["a b"]),
        lambda head: column(head, "hosts", "rack").update(categories=[5]),
        lambda head: column(head, "hosts", "traits").update(categories=["ssd"]),
        lambda head: column(head, "hosts", "capacity").update(shape=[1, 2, 3]),
        lambda head: column(head, "hosts", "capacity").update(shape=[3, 4, 2]),
        lambda head: column(head, "hosts", "capacity").update(shape=[10**12]),
        lambda head: column(head, "hosts", "capacity").update(bytes=-8),
        lambda head: column(head, "instances", "host").update(shape=[6, 1]),
        lambda head: column(head, "instances", "state").update(shape=[2, 3]),
        lambda head: column(head, "instances", "id").update(rows=0),
    ],
)
def test_a_forged_head_is_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(Invalid):
        unpack(with_head(change))


def test_forged_columns_never_end_in_anything_but_invalid() -> None:
    body = zlib.decompress(pack(POOL)[13:])
    start = body.index(b"\n") + 1
    dice = random.Random(7)
    refused = 0
    for _ in range(500):
        forged = bytearray(body)
        for _ in range(dice.randint(1, 3)):
            forged[dice.randrange(start, len(forged))] = dice.randrange(256)
        try:
            pool = unpack(repacked(bytes(forged)))
        except Invalid:
            refused += 1
        else:
            assert_same(pool, unpack(pack(pool)))
    assert refused > 250
