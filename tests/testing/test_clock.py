# SPDX-License-Identifier: Apache-2.0
"""Virtual time: in order, at once, and only when nothing else can run."""

import asyncio
import time

import pytest

from billow.testing.clock import START, VirtualClock


def test_hours_pass_at_once() -> None:
    clock = VirtualClock()
    began = time.monotonic()
    asyncio.run(clock.sleep(36_000.0))
    assert clock.now() == START + 36_000.0
    assert time.monotonic() - began < 5.0


def test_sleepers_wake_in_order() -> None:
    clock = VirtualClock(0.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.now()))

    async def main() -> None:
        await asyncio.gather(sleeper("a", 3, 3), sleeper("b", 1, 5), sleeper("c", 2))

    asyncio.run(main())
    assert woken == [("b", 1.0), ("c", 2.0), ("a", 3.0), ("b", 6.0), ("a", 6.0)]


def test_time_waits_for_work() -> None:
    clock = VirtualClock(0.0)
    seen: list[float] = []

    async def worker() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
            seen.append(clock.now())

    async def main() -> None:
        await asyncio.gather(clock.sleep(1.0), worker())

    asyncio.run(main())
    assert seen == [0.0] * 50


def test_a_cancelled_sleeper_does_not_move_time() -> None:
    clock = VirtualClock(0.0)

    async def main() -> None:
        sleeper = asyncio.create_task(clock.sleep(100.0))
        await asyncio.sleep(0)
        sleeper.cancel()
        await clock.sleep(1.0)

    asyncio.run(main())
    assert clock.now() == 1.0


def test_a_second_loop_forgets_the_first_ones_sleepers() -> None:
    clock = VirtualClock(0.0)
    loop = asyncio.new_event_loop()
    left = loop.create_task(clock.sleep(5.0))
    loop.run_until_complete(asyncio.sleep(0))
    left.cancel()
    loop.run_until_complete(asyncio.gather(left, return_exceptions=True))
    loop.close()
    asyncio.run(clock.sleep(1.0))
    assert clock.now() <= 6.0


def test_time_does_not_jump_over_work_outside_when_told_to_settle() -> None:
    clock = VirtualClock(0.0, settle_s=0.2)
    seen: list[float] = []

    async def outside() -> None:
        await asyncio.to_thread(time.sleep, 0.02)
        seen.append(clock.now())

    async def main() -> None:
        await asyncio.gather(clock.sleep(10.0), outside())

    asyncio.run(main())
    assert seen == [0.0]
    assert clock.now() == 10.0


def test_advance_wakes_who_is_due() -> None:
    clock = VirtualClock(0.0)

    async def main() -> float:
        sleeper = asyncio.create_task(clock.sleep(10.0))
        await asyncio.sleep(0)
        clock.advance(11.0)
        await sleeper
        return clock.now()

    assert asyncio.run(main()) == 11.0


def test_nan_is_no_time() -> None:
    with pytest.raises(ValueError, match="NaN"):
        asyncio.run(VirtualClock().sleep(float("nan")))
