# SPDX-License-Identifier: Apache-2.0

import pytest
from hypothesis import given, settings

from billow.errors import Invalid
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.text import parse, render
from tests.model.pools import assert_same, pools

GOLDEN = """\
billow-pool 1 taken=2026-11-22T08:00:00Z
shape c16 cpu=16 memory=32GiB numa=1 arch=x86_64 traits=avx512,ssd huge dedicated
shape s cpu=500m memory=1025MiB gpus=1
group web anti-affinity host
host h1 nodes=2x(44,0MiB,huge=184388MiB) sockets=2 zone=z1 rack=r1 traits=ssd power=off \
cordon="new \\"disk\\"\\n" cpu-ratio=1.5 cpu-used=12.5m
host h2 nodes=(44,1TiB,gpus=8)+(22,512GiB) arch=aarch64 gpu=a100 bandwidth=2500.0MiB/s
vm a1 c16 h1/0 running priority=5 group=web immovable="pinned device"
vm a2 c16 - requested
container b s h2 stopped tenant=t1 zone=z1 image=debian:12 dirty=0.1MiB/s
link h1 h2 2048.0MiB/s
fact host/h1 accelerator kvm
gap host/h3 "usage not seen"
"""


def test_what_is_written_is_what_people_read() -> None:
    assert render(parse(GOLDEN)) == GOLDEN


@settings(max_examples=100)
@given(pools())
def test_what_is_written_reads_back_the_same(pool: Pool) -> None:
    text = render(pool)
    assert_same(pool, parse(text))
    assert render(parse(text)) == text


def test_lines_may_come_in_any_order_with_comments_and_carriage_returns() -> None:
    head, *lines = GOLDEN.splitlines()
    shuffled = "\r\n".join([f"# a bug\n{head} # taken then", "", *reversed(lines)])
    assert_same(parse(GOLDEN), parse(shuffled))


def test_ranges_stand_for_many_rows_and_places_take_turns() -> None:
    pool = parse(
        """billow-pool 1
        shape s cpu=1 memory=1GiB
        host r[1-2]h[08-11] nodes=(4,8GiB)
        vm a[001-100] s r1h[08-11]
        vm b s -
        """
    )
    assert pool.hosts.id[:4] == ("r1h08", "r1h09", "r1h10", "r1h11")
    assert len(pool.hosts) == 8
    assert pool.instances.id[0] == "a001"
    assert pool.instance("a100").host == "r1h11"
    assert pool.reserved[:4, 0].tolist() == [25_000] * 4
    assert pool.instance("a007").state is State.RUNNING
    assert pool.instance("b").state is State.REQUESTED


@pytest.mark.parametrize(
    ("line", "brief"),
    [
        ("foo x", "'foo' is no kind of line"),
        ("host", "another form"),
        ("host h", "not a list of NUMA nodes"),
        ("host h nodes=", "not a list of NUMA nodes"),
        ("host h nodes=(1,1GiB)+", "not a list of NUMA nodes"),
        ("host h nodes=(1,1GiB)(1,1GiB)", "not a list of NUMA nodes"),
        ("host h nodes=(1)", "not a NUMA node"),
        ("host h nodes=(1,1GiB,x=1)", "not a part of a NUMA node"),
        ("host h nodes=(1,1GiB,gpus=1,gpus=2)", "not a part of a NUMA node"),
        ("host h nodes=(1,1)", "not an amount of memory"),
        ("host h nodes=(1,-1GiB)", "not an amount of memory"),
        ("host h nodes=(1,1.5GiB)", "not an amount of memory"),
        ("host h nodes=(inf,1GiB)", "not an amount of CPU"),
        ("host h nodes=(nan,1GiB)", "not an amount of CPU"),
        ("host h nodes=(-1,1GiB)", "not an amount of CPU"),
        ("host h nodes=(99999999999999999999,1GiB)", "not an amount of CPU"),
        ("host h nodes=(9999999999999,1GiB)", "must be a whole number from 0"),
        ("host h nodes=(0.0001,1GiB)", "not an amount of CPU"),
        ("host h nodes=0x(1,1GiB)", "not a list of NUMA nodes"),
        ("host h nodes=33x(1,1GiB)", "NUMA nodes of host h must be"),
        ("host h nodes=(1,1GiB) nodes=(1,1GiB)", "'nodes' stands twice"),
        ("host h nodes=(1,1GiB) colour=red", "'colour' is no option of a host"),
        ("host h nodes=(1,1GiB) power=maybe", "power: 'maybe' is not a known power"),
        ("host h nodes=(1,1GiB) cpu-ratio=nan", "cpu-ratio: 'nan' is not a number"),
        ("host h nodes=(1,1GiB) cpu-ratio=0", "cpu_ratio of host h must be"),
        ("host h nodes=(1,1GiB) cpu-used=1e999m", "must be a number"),
        ("host h nodes=(1,1GiB) sockets=²", "sockets: '\\xb2' is not a whole number"),
        ("host h nodes=(1,1GiB) traits=a,,b", "trait '' is not a valid id"),
        ("host -h nodes=(1,1GiB)", "host '-h' is not a valid id"),
        ("host h\u202ee nodes=(1,1GiB)", "is not a valid id"),
        ("host h[1-99999999] nodes=(1,1GiB)", "stands for 99999999 rows"),
        ("host h[3-1] nodes=(1,1GiB)", "stands for 0 rows"),
        ("host h[1-x] nodes=(1,1GiB)", "is not a valid id"),
        ("host k[1-2] nodes=(1,1GiB)\nhost k2 nodes=(1,1GiB)", "host k2 stands twice"),
        ('host h"x nodes=(1,1GiB)', "a quote is not closed"),
        ('host h nodes=(1,1GiB) cordon="a"b', "is not a text in quotes"),
        ('host h nodes=(1,1GiB) cordon="\\x"', "is not a text in quotes"),
        ('host h nodes=(1,1GiB) cordon="\\ud800"', "must be a text"),
        ("shape c cpu=1", "the shape has no memory"),
        ("shape c cpu=1 memory=1GiB tiny", "'tiny' is not a word of a shape"),
        ("shape s cpu=1 memory=1GiB", "shape s stands twice"),
        ("vm a s k1", "there is no host k1"),
        ("vm a x -", "there is no shape 'x'"),
        ("vm a n k", "takes 1 of the 1 NUMA nodes of k, not []"),
        ("vm a n k/1", "takes 1 of the 1 NUMA nodes of k, not [1]"),
        ("vm a n k/0+0", "distinct NUMA nodes"),
        ("vm a s k/99", "NUMA node of a must be"),
        ("vm a s /0", "is not a place"),
        ("vm a s k lost", "is not a known state"),
        ("vm a s k group=g", "there is no group g"),
        ("vm a s - priority=9999999", "priority of a must be"),
        ("vm a s -\ncontainer a s -", "container a stands twice"),
        ("group g", "another form"),
        ("group g near", "'near' is not a known rule"),
        ("group g affinity planet", "'planet' is not a known scope"),
        ("group g affinity x=1", "'x' is no option of a group"),
        ("link a b fast", "is not a number with a unit"),
        ("fact a b", "another form"),
        ("gap a", "another form"),
    ],
)
def test_a_broken_line_is_named_with_a_way_out(line: str, brief: str) -> None:
    start = "billow-pool 1\nshape s cpu=1 memory=1GiB\nshape n cpu=1 memory=1GiB numa=1\n"
    with pytest.raises(Invalid) as caught:
        parse(f"{start}host k nodes=(9,9GiB)\n{line}\n")
    number = 5 + line.count("\n")
    assert caught.value.brief.startswith(f"line {number}: ")
    assert brief in caught.value.brief
    assert caught.value.fix


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "x", "billow-pool", "billow-pool 2", "billow-pool 1 x=1", "host h nodes=(1,1GiB)"],
)
def test_what_is_no_pool_says_how_one_begins(text: str) -> None:
    with pytest.raises(Invalid, match=r"line \d: this is no pool in text form") as caught:
        parse(text)
    assert "billow-pool 1" in caught.value.fix


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-13-01T00:00:00Z", "2026-11-22T08:00:00", "1e99"]
)
def test_a_time_that_is_none_is_refused(time: str) -> None:
    with pytest.raises(Invalid, match=r"time|taken_at"):
        parse(f"billow-pool 1 taken={time}")


def test_an_empty_pool_is_one_line() -> None:
    assert render(parse("billow-pool 1")) == "billow-pool 1\n"


def test_hosts_with_slashes_keep_their_names() -> None:
    text = """billow-pool 1
shape n cpu=1 memory=1GiB numa=1
shape s cpu=1 memory=1GiB
host rack/7 nodes=2x(4,8GiB)
vm a s rack/7/- running
vm b n rack/7/1 running
"""
    assert render(parse(text)) == text
