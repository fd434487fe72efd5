# SPDX-License-Identifier: Apache-2.0
"""Capabilities that look by themselves: when they look, and that they do not repeat themselves."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from billow.loop import Wish, mending
from billow.model.action import Action, Cordon, Migrate
from billow.model.plan import Proposal
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.policies import Standing
from tests.act.control import Controller, Lab
from tests.act.test_loop import START


class Mover:
    """Wants `a` away from h1 while it is there, and counts how often it is asked."""

    name = "hotspot"
    policy: type[Policy] = Policy

    def __init__(self) -> None:
        self.looks = 0
        self.pasts: list[int] = []

    def propose(self, pool: Pool, policy: Policy, /) -> Proposal:
        """Return the move."""
        self.looks += 1
        assert pool.history is not None
        self.pasts.append(len(pool.history.instances))
        there: tuple[Action, ...] = (Migrate(instance="a", source="h1", target="h2"),)
        return Proposal(self.name, there if pool.instance("a").host == "h1" else ())


def standing_test(
    folder: Path,
    body: Callable[[Lab, Controller, Mover], Awaitable[None]],
    every_s: float = 0.0,
    *,
    approved: bool = False,
) -> None:
    """Run a body with a controller in which a mover stands."""

    async def run() -> None:
        async with Lab(START, folder) as lab:
            mover = Mover()
            standing = [Standing(mover, Policy(), every_s, approved)]
            await body(lab, await lab.controller(standing=standing), mover)

    asyncio.run(run())


def test_it_looks_again_only_when_the_pool_has_changed(tmp_path: Path) -> None:
    async def body(lab: Lab, controller: Controller, mover: Mover) -> None:
        for _ in range(3):
            await controller.loop.turn()
        assert len(await lab.store.plans(limit=10)) == 1
        first = mover.looks
        await controller.carry_out(await controller.plan([Cordon(host="h3", why="disk")]))
        await controller.loop.turn()
        assert mover.looks > first
        assert mover.pasts[-1] == 2

    standing_test(tmp_path, body)


def test_by_the_clock_it_looks_at_every_turn_and_does_not_repeat_itself(tmp_path: Path) -> None:
    async def body(lab: Lab, controller: Controller, mover: Mover) -> None:
        await controller.loop.turn()
        first = mover.looks
        for _ in range(3):
            await controller.loop.turn()
        assert mover.looks == first + 3
        assert len(await lab.store.plans(limit=10)) == 1

    standing_test(tmp_path, body, every_s=1e-9)


def test_before_its_time_it_does_not_look(tmp_path: Path) -> None:
    async def body(lab: Lab, controller: Controller, mover: Mover) -> None:
        await controller.loop.turn()
        first = mover.looks
        await controller.loop.turn()
        assert mover.looks == first

    standing_test(tmp_path, body, every_s=3600)


def test_an_approved_one_acts_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    async def body(lab: Lab, controller: Controller, mover: Mover) -> None:
        await controller.loop.turn()
        for run in await lab.store.runs(limit=10):
            await controller.loop.wait(run.id)
        assert lab.pool().instance("a").host == "h2"
        await controller.loop.turn()
        assert len(await lab.store.runs(limit=10)) == 1

    standing_test(tmp_path, body, every_s=1e-9, approved=True)


class Thinker(Mover):
    """Thinks so long that the world changes meanwhile, and then wants what is left."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self.mended_for: list[str] = []

    def propose(self, pool: Pool, policy: Policy, /) -> Proposal:
        """Return the move of an instance that is gone by then."""
        wanted = super().propose(pool, policy)
        self._meanwhile()
        return wanted

    def mended(self, pool: Pool, proposal: Proposal, policy: Policy, /) -> Proposal:
        """Keep the actions on instances that are there."""
        self.mended_for.append(pool.digest)
        left = [each for each in proposal.actions if each.subject[9:] in pool.instances.row]
        return Proposal(self.name, tuple(left))


def test_what_changed_while_it_was_thought_is_mended_before_the_plan(tmp_path: Path) -> None:
    async def body() -> None:
        async with Lab(START, tmp_path) as lab:
            thinker = Thinker(lambda: lab.sim.ground.remove("a"))
            controller = await lab.controller()
            wish = Wish("by hand", "tester")
            mend = mending(thinker, Policy())
            plan = await controller.loop.plan(
                lambda pool: (pool, [thinker.propose(pool, Policy())]), wish, mend
            )
            assert plan.steps == ()
            assert thinker.mended_for == [plan.based_on] == [lab.pool().digest]

    asyncio.run(body())
