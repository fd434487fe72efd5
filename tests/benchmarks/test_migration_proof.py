# SPDX-License-Identifier: Apache-2.0
"""The witnesses of a move tell a guest that ran once from one that ran twice or lost something."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.fault_pool import bad_pages
from benchmarks.migration_proof import (
    NUMBERS,
    SECTOR,
    Beat,
    Line,
    Listener,
    contradictions,
    copies,
    parsed,
    repeated,
    spoken,
    stood_still_s,
    twice,
)

from billow.engines.qemu.network import Network

PAGES = 100


def beats(*heard: tuple[str, int]) -> list[Beat]:
    """Return beats of one guest, a tenth of a second apart."""
    return [Beat(n / 10, host, "10.78.0.1", number) for n, (host, number) in enumerate(heard)]


def test_a_guest_that_moved_once_lived_once() -> None:
    moved = beats(("h1", 1), ("h1", 2), ("h2", 3), ("h2", 4))
    assert copies(moved) == 1
    assert twice(moved) == []
    assert copies([]) == 0


def test_two_guests_that_beat_in_turn_are_two_copies() -> None:
    """Their numbers may rise even so."""
    both = beats(("h1", 1), ("h2", 2), ("h1", 3), ("h2", 4))
    assert copies(both) == 2
    assert twice(both) == []


def test_a_copy_that_wakes_late_says_what_was_said() -> None:
    late = beats(("h1", 1), ("h1", 2), ("h2", 3), ("h2", 4), ("h1", 3))
    assert copies(late) == 2
    assert len(twice(late)) == 1
    assert len(twice(beats(("h1", 5), ("h2", 5)))) == 1


def test_beats_are_counted_round_and_round() -> None:
    assert twice(beats(("h1", NUMBERS - 1), ("h1", 0), ("h1", 1))) == []


def test_the_longest_silence_is_told() -> None:
    heard = [Beat(at, "h1", "g", n) for n, at in enumerate((0.0, 0.1, 2.1, 2.2))]
    assert stood_still_s(heard) == pytest.approx(2.0)


def lines(*numbers: int, boot: str = "a") -> list[Line]:
    return [Line(boot, number, float(number)) for number in numbers]


def test_a_log_of_one_guest_rises_by_one_in_each_boot() -> None:
    assert contradictions(lines(1, 2, 3) + lines(1, 2, boot="b")) == []
    assert contradictions([]) == []


@pytest.mark.parametrize(
    "log",
    [
        lines(1, 2, 2, 3),
        lines(1, 2, 4),
        lines(1, 2, 1),
        lines(1, 2) + lines(1, boot="b") + lines(3),
        [*lines(1), Line("", 0, 0.0), *lines(2)],
        [Line("a", 1, 1.0, "cafe"), Line("a", 2, 2.0, "beef")],
    ],
)
def test_a_log_of_two_copies_or_with_a_lost_write_is_found(log: list[Line]) -> None:
    assert contradictions(log)


def test_a_log_is_read_as_the_guest_writes_it() -> None:
    records = [f"boot {number} {number}.5 cafe" for number in (1, 2, 3)]
    sectors = [text.ljust(SECTOR - 1).encode() + b"\n" for text in ("2", *records)]
    assert parsed(b"".join(sectors)) == [Line("boot", 1, 1.5, "cafe"), Line("boot", 2, 2.5, "cafe")]
    assert parsed(bytes(4 * SECTOR)) == []
    sectors[1] = bytes(SECTOR)
    assert contradictions(parsed(b"".join(sectors)))


def test_a_serial_line_of_two_copies_repeats_itself() -> None:
    said = "up cpus=1\nbilly beat=1 work=3\nbilly beat=2 work=5\n"
    assert repeated(spoken(said)) == []
    assert repeated(spoken(said + "up\nbilly beat=1 work=1\n")) == []
    assert len(repeated(spoken(said + "billy beat=2 work=5\n"))) == 1
    assert len(repeated(spoken(said + "billy beat=4 work=9\n"))) == 1


def written(work: int, more: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the pages of a writer that counted so much work; it began with anything in them."""
    counts = np.full(PAGES, 2**62, dtype=np.int64)
    for number in range(1, work + more + 1):
        counts[(number - 1) % PAGES] = number
    return counts


@pytest.mark.parametrize(("work", "more"), [(0, 0), (50, 0), (100, 0), (250, 0), (250, 3)])
def test_pages_that_hold_what_was_written_last_are_good(work: int, more: int) -> None:
    assert bad_pages(written(work, more), work) == []


def test_an_old_page_is_found() -> None:
    counts = written(250)
    counts[7] -= PAGES
    assert bad_pages(counts, 250) == ["page 7 holds 108, not 208"]
    assert bad_pages(written(200), 250), "a guest that is older than it says"


@pytest.fixture
def anyio_backend() -> str:
    """Run in asyncio."""
    return "asyncio"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Build a network of two hosts, with no guest in it."""
    made = Network(
        f"proof{tmp_path.name[-1]}{time.time_ns() % 10**6}", {"h1": 1, "h2": 2}, namespaces=True
    )
    asyncio.run(made.set_up())
    yield made
    asyncio.run(made.tear_down())


@pytest.mark.qemu
@pytest.mark.anyio
async def test_beats_are_heard_once_and_from_their_host(network: Network) -> None:
    """The program of the guest says them, from the bridges of both hosts in turn."""
    fabric = f"{network.namespace('h1').removesuffix('-h1')}.fabric"
    with Listener(fabric, {"h1": "g1", "h2": "g2"}) as listener:
        for number, host in enumerate(("h1", "h2", "h1"), 300):
            await _say(network.namespace(host), number)
        heard = listener.heard()
        assert [(each.host, each.number) for each in heard] == [
            ("h1", 300),
            ("h2", 301),
            ("h1", 302),
        ]
        assert {each.guest for each in heard} == {"10.78.0.9"}
        assert copies(heard) == 2
        assert listener.heard() == []


async def _say(namespace: str, number: int) -> None:
    asked = f"198.18.{number >> 8}.{number & 255}"
    inside = ("nsenter", f"--net=/run/netns/{namespace}")
    say = ("busybox", "arping", "-q", "-U", "-c", "1", "-I", "guests", "-s", "10.78.0.9", asked)
    await (
        await asyncio.create_subprocess_exec(
            *inside, "ip", "address", "replace", "10.78.0.9/16", "dev", "guests"
        )
    ).wait()
    said = await asyncio.create_subprocess_exec(*inside, *say)
    assert await said.wait() == 0
