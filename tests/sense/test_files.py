# SPDX-License-Identifier: Apache-2.0

import gzip
import json
import random
from pathlib import Path

import pytest

from billow.errors import Invalid, NotFound
from billow.model.codec import pool_document
from billow.model.text import parse
from billow.sense import bytes_in
from billow.sense.files import PoolForm, bytes_of_pool, pool_of_bytes, read_pool, write_pool
from tests.model.pools import assert_same

POOL = parse(
    """billow-pool 1 taken=2026-11-22T08:00:00Z
    shape n cpu=1 memory=1GiB numa=1
    host h[1-3] nodes=2x(4,8GiB) rack=r1 traits=ssd cordon="für später"
    vm a[1-6] n h[1-3]/1
    gap host/h1 "not seen"
    """
)


@pytest.mark.parametrize("form", PoolForm)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_form_is_told_by_its_content(tmp_path: Path, form: PoolForm, suffix: str) -> None:
    path = tmp_path / f"any name{suffix}"
    write_pool(POOL, path, form)
    assert_same(read_pool(path), POOL)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.pool", b"billow-pool 1"),
        ("a.json", b"{"),
        ("a.packed", b"BLWP"),
        ("a.json.gz", b"\x1f\x8b"),
    ],
)
def test_the_name_decides_how_it_is_written(tmp_path: Path, name: str, start: bytes) -> None:
    write_pool(POOL, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert_same(read_pool(tmp_path / name), POOL)


def test_a_mapping_is_told_by_its_content() -> None:
    path = Path(__file__).parent / "cases" / "small.json"
    assert read_pool(path).host("pm_0").zone == "c1"


def test_a_byte_order_mark_does_not_matter() -> None:
    data = bytes_of_pool(POOL, PoolForm.TEXT)
    assert_same(pool_of_bytes(b"\xef\xbb\xbf" + data, "x"), POOL)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01\x02",
        b"\xff\xfe",
        b"BLWP",
        b"BLW",
        b"{",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"format":' * 5000,
        b'{"format": "billow-pool", "version": 1, "taken_at": NaN}',
        b'{"format": "billow-pool", "version": 1, "taken_at": ' + b"9" * 5000 + b"}",
        b'{"format": "\xff"}',
        b'{"format": "billow-pool", "version": 1} trailing',
        b'{"cluster_list": [{"cluster_name": 5}]}',
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00garbage",
        gzip.compress(b"", mtime=0),
        gzip.compress(b"{}", mtime=0),
        gzip.compress(bytes_of_pool(POOL, PoolForm.TEXT), mtime=0)[:-9],
        gzip.compress(gzip.compress(b"billow-pool 1\n", mtime=0), mtime=0),
    ],
)
def test_what_is_no_pool_is_refused_with_a_way_out(data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        pool_of_bytes(data, "x.pool")
    assert caught.value.fix


@pytest.mark.parametrize("form", PoolForm)
def test_damage_never_ends_in_anything_but_invalid(form: PoolForm) -> None:
    data = bytes_of_pool(POOL, form)
    dice = random.Random(3)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            pool = pool_of_bytes(bytes(damaged[: dice.randint(0, len(data))]), "x")
        except Invalid:
            continue
        assert_same(pool_of_bytes(bytes_of_pool(pool, form), "x"), pool)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_in, "LARGEST_BYTES", 10_000)
    with pytest.raises(Invalid, match="more than 2 GiB"):
        pool_of_bytes(gzip.compress(b" " * 1_000_000, mtime=0), "bomb")
    with pytest.raises(Invalid, match="more than 2 GiB"):
        pool_of_bytes(b" " * 20_000, "large")


def test_a_digest_that_does_not_fit_is_noticed() -> None:
    document = json.loads(json.dumps(pool_document(POOL)))
    document["hosts"][0]["rack"] = "elsewhere"
    with pytest.raises(Invalid, match="not what the digest says") as caught:
        pool_of_bytes(json.dumps(document).encode(), "x.json")
    assert "remove the field digest" in caught.value.fix


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_pool(tmp_path / "none")
    for path in (tmp_path, Path("a\x00b"), tmp_path / ("x" * 5000)):
        with pytest.raises(Invalid) as caught:
            read_pool(path)
        assert caught.value.fix


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "a.pool", tmp_path):
        with pytest.raises(Invalid) as caught:
            write_pool(POOL, path)
        assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pool"
    path.write_text("x" * 100_000)
    write_pool(POOL, path)
    assert path.read_bytes() == bytes_of_pool(POOL, PoolForm.TEXT)
