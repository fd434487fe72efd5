# SPDX-License-Identifier: Apache-2.0
"""The world as a whole: the same events for the same submissions, whoever looks, at any pace."""

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.sim.lab import SMALL, Lab, move, place

from billow.engines.sim.engine import SimEngine
from billow.engines.sim.generate import generate
from billow.engines.sim.setting import Setting
from billow.engines.sim.timing import Timing
from billow.engines.sim.world import World
from billow.errors import BillowError, Invalid, Refused
from billow.model.action import (
    Action,
    Delete,
    Migrate,
    Patch,
    Place,
    PowerOff,
    Resize,
    Start,
    Stop,
)
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Kind, Power, Rule, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.convergence import SETUP_S
from billow.ports import Trace
from billow.testing.clock import VirtualClock
from billow.testing.pools import pool

POOL = pool("3 hosts x 64GiB 16c; a: 6 vms x 10GiB 1c dirty=100 spread")


def chaos(base: Pool, seed: int, count: int = 60) -> list[tuple[float, Action]]:
    """Return actions at rising moments, many of which are refused."""
    dice = random.Random(seed)
    hosts, names = base.hosts.id, [*base.instances.id, *(f"new{number}" for number in range(5))]
    at = 0.0
    actions: list[tuple[float, Action]] = []
    for number in range(count):
        at += dice.random() * 4
        name, host, other = dice.choice(names), dice.choice(hosts), dice.choice(hosts)
        choices: list[Action] = [
            Place(id=f"c{number}", instance=Instance(name, SMALL), host=host),
            Migrate(id=f"c{number}", instance=name, source=host, target=other),
            Stop(id=f"c{number}", instance=name, host=host),
            Start(id=f"c{number}", instance=name, host=host),
            Delete(id=f"c{number}", instance=name, host=host),
        ]
        actions.append((at, dice.choice(choices)))
    return actions


def play(base: Pool, actions: list[tuple[float, Action]], looks: list[float]) -> World:
    """Submit actions to a new world, and look at it in between at other moments."""
    world = World(base, Setting(Timing(throttle=True)))
    moments: list[tuple[float, Action | None]] = [*actions, *((at, None) for at in looks)]
    for at, action in sorted(moments, key=lambda each: each[0]):
        world.advance(at)
        if action is None:
            world.pool()
            for operation in world.operations.values():
                operation.progress(world.now)
            continue
        try:
            world.submit(action, 1)
        except Refused:
            continue
    world.advance(10_000.0)
    return world


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.floats(0, 300), max_size=40))
def test_looking_never_changes_what_happens(seed: int, looks: list[float]) -> None:
    actions = chaos(POOL, seed)
    alone, watched = play(POOL, actions, []), play(POOL, actions, looks)
    assert list(watched.history) == list(alone.history)
    assert watched.pool().digest == alone.pool().digest
    assert alone.rests


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_no_room_is_lost_or_made(seed: int) -> None:
    world = play(POOL, chaos(POOL, seed), [])
    truth = world.pool()
    assert (world.ground._free == truth.free).all()
    assert (truth.free >= 0).all()
    assert {each.trace for each in world.operations.values()} <= {Trace.DONE, Trace.FAILED}


def test_two_runs_of_a_generated_pool_are_the_same_events() -> None:
    def history() -> list[tuple[float, str]]:
        lab = Lab(generate(30, seed=4), "at 20 host host-07 dies\non 3rd migrate fails at 0.3")

        async def story() -> None:
            seen = await lab.engine.sense()
            roomy = [seen.hosts.id[row] for row in seen.free[:, 0].argsort()[-6:]]
            floating = [each for each in seen.instance_views() if not each.nodes]
            actions = [
                move(each.id, each.host, roomy[number % len(roomy)])
                for number, each in enumerate(floating)
            ]
            await asyncio.gather(*(lab.try_to(action) for action in actions))

        lab.run(story())
        return list(lab.world.history)

    first = history()
    assert len(first) > 50
    assert first == history()


def test_two_moves_over_one_link_take_twice_as_long() -> None:
    lab = Lab(pool("3 hosts x 64GiB 16c; a: 2 vms x 10GiB 1c on=h1"))

    async def story() -> None:
        await asyncio.gather(lab.do(move("a1", "h1", "h2")), lab.do(move("a2", "h1", "h3")))

    lab.run(story())
    assert lab.elapsed == pytest.approx(2 * 10.24 + SETUP_S, abs=0.01)


def test_a_move_that_ends_frees_the_link_for_the_other() -> None:
    # 10 GiB and 1 GiB share 1000 MiB/s: the small one is over at 2.048 s with 1024 MiB each sent;
    # the large one sends its other 9216 MiB alone.
    lab = Lab(pool("3 hosts x 64GiB 16c; a: 1 vm x 10GiB 1c on=h1; b: 1 vm x 1GiB 1c on=h1"))

    async def story() -> None:
        await asyncio.gather(lab.do(move("a1", "h1", "h2")), lab.do(move("b1", "h1", "h3")))

    lab.run(story())
    moved = [at for at, text in lab.world.history if text.endswith("done")]
    assert moved[0] == pytest.approx(2.048 + SETUP_S)
    assert moved[1] == pytest.approx(2.048 + 9.216 + SETUP_S, abs=0.03)


def test_a_speed_makes_the_clock_shorter_not_the_world() -> None:
    lab = Lab(POOL, speed=100.0)

    async def story() -> None:
        reports = await lab.do(move("a1", "h1", "h2"))
        assert reports[0].phase == "preparing"
        assert reports[1].left_s < 1.0

    lab.run(story())
    assert 0.1 < lab.elapsed < 0.2
    assert lab.world.now == pytest.approx(lab.elapsed * 100, rel=1e-3)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(Invalid):
        Setting(speed=speed)


def test_room_is_held_from_the_start_of_an_action() -> None:
    lab = Lab(pool("2 hosts x 4GiB 4c; a: 1 vm x 3GiB 1c on=h1"))
    big = Shape("big", 1000, 3072)

    async def story() -> None:
        moving = asyncio.create_task(lab.do(move("a1", "h1", "h2")))
        await lab.clock.sleep(0.5)
        assert isinstance(await lab.try_to(place("x", "h2", big)), Refused)  # taken by the move
        assert isinstance(await lab.try_to(place("y", "h1", big)), Refused)  # not left yet
        await moving
        assert await lab.try_to(place("z", "h1", big)) is None

    lab.run(story())


def test_a_busy_subject_is_left_alone() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        moving = asyncio.create_task(lab.do(move("a1", "h1", "h2")))
        await lab.clock.sleep(0.5)
        for action in (
            Delete(id="d", instance="a1", host="h1"),
            Stop(id="s", instance="a1", host="h1"),
            PowerOff(id="o", host="h2"),
        ):
            reasons = [each.reason for each in await lab.engine.blockers(action)]
            assert any("move-a1" in reason for reason in reasons)
        await moving
        assert (await lab.engine.sense()).instance("a1").state is State.RUNNING

    lab.run(story())


def test_numa_nodes_are_counted() -> None:
    lab = Lab(pool("1 host x 8GiB 8c 2numa; 2 vms x 2GiB 3c 1numa spread"))
    bound = Shape("bound", 2000, 1024, numa_nodes=1)

    async def story() -> None:
        for nodes, possible in (((0,), False), ((1,), False), ((0, 1), False), ((2,), False)):
            action = Place(id=f"p{nodes}", instance=Instance("x", bound), host="h1", nodes=nodes)
            assert (await lab.engine.blockers(action) == []) is possible
        thin = Shape("thin", 1000, 1024, numa_nodes=1)
        await lab.do(Place(id="p", instance=Instance("x", thin), host="h1", nodes=(1,)))
        assert (await lab.engine.sense()).instance("x").nodes == (1,)
        onto = Migrate(
            id="m", instance="x", source="h1", target="h1", source_nodes=(1,), target_nodes=(0,)
        )
        await lab.do(onto)
        assert (await lab.engine.sense()).instance("x").nodes == (0,)

    lab.run(story())


def test_a_resize_that_lost_its_room_meanwhile_fails_whole() -> None:
    lab = Lab(pool("1 host x 8GiB 8c; a: 1 vm x 1GiB 1c on=h1"))
    old = lab.world.pool().shapes[0]
    grown = Shape("grown", 1000, 6144)

    async def story() -> None:
        resizing = asyncio.create_task(
            lab.try_to(Resize(id="r", instance="a1", host="h1", old=old, new=grown))
        )
        await lab.clock.sleep(0.5)
        await lab.do(place("late", "h1", Shape("wide", 1000, 4096)))
        assert isinstance(await resizing, Refused)
        seen = await lab.engine.sense()
        assert seen.instance("a1").shape == old
        assert await lab.engine.find("r") is Trace.FAILED

    lab.run(story())


def test_a_group_comes_with_its_first_member() -> None:
    lab = Lab(POOL)
    apart = Group("apart", Rule.ANTI_AFFINITY)
    member = Instance("m", SMALL, group="apart")

    async def story() -> None:
        without = Place(id="p1", instance=member, host="h1")
        assert isinstance(await lab.try_to(without), Refused)
        await lab.do(Place(id="p2", instance=member, host="h1", group=apart))
        assert (await lab.engine.sense()).group("apart") == apart
        other = Place(
            id="p3",
            instance=Instance("n", SMALL, group="apart"),
            host="h2",
            group=Group("apart", Rule.AFFINITY),
        )
        assert isinstance(await lab.try_to(other), Refused)

    lab.run(story())


def test_a_request_in_the_pool_can_be_placed() -> None:
    lab = Lab(pool("1 host x 8GiB 8c; r: 1 vm x 1GiB 1c"))

    async def story() -> None:
        request = (await lab.engine.sense()).instance("r1")
        await lab.do(Place(id="p", instance=request, host="h1"))
        assert (await lab.engine.sense()).instance("r1").state is State.RUNNING

    lab.run(story())


def test_an_unknown_verb_is_refused() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        refused = await lab.try_to(Patch(id="p", host="h1"))
        assert isinstance(refused, Refused)
        assert Patch not in lab.engine.verbs

    lab.run(story())


def test_one_id_belongs_to_one_action() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        await lab.do(Place(id="same", instance=Instance("x", SMALL), host="h1"))
        refused = await lab.try_to(Place(id="same", instance=Instance("y", SMALL), host="h1"))
        assert isinstance(refused, Refused)
        assert refused.code == "id-reused"

    lab.run(story())


def test_bare_metal_is_given_power_by_its_start_and_nobody_else_is() -> None:
    asleep = [replace(host, power=Power.OFF) for host in POOL.host_views()]
    machine, guest = (
        replace(Instance(name, SMALL, host=host.id), state=State.STOPPED)
        for name, host in zip(("m", "g"), asleep, strict=False)
    )
    lab = Lab(Pool.build(asleep, [replace(machine, kind=Kind.BARE_METAL), guest]))

    async def story() -> None:
        await lab.do(Start(id="1", instance="m", host=machine.host))
        assert isinstance(await lab.try_to(Start(id="2", instance="g", host=guest.host)), Refused)
        seen = await lab.engine.sense()
        assert seen.instance("m").state is State.RUNNING
        powers = [seen.host(each.host).power for each in (machine, guest)]
        assert powers == [Power.ON, Power.OFF]

    lab.run(story())


@pytest.mark.parametrize("grace_s", [-1.0, float("nan"), float("inf")])
def test_a_grace_that_is_no_time_is_refused(grace_s: float) -> None:
    lab = Lab(POOL)
    stop = Stop(id="s", instance="a1", host="h1", grace_s=grace_s)
    assert isinstance(lab.run(lab.try_to(stop)), Refused)


def test_sensing_what_did_not_change_costs_nothing() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        first = await lab.engine.sense()
        await lab.clock.sleep(100.0)
        second = await lab.engine.sense()
        assert second.instances is first.instances
        assert second.hosts is first.hosts
        assert second.taken_at == first.taken_at + 100.0

    lab.run(story())


def test_everything_raised_is_ours() -> None:
    lab = Lab(POOL)

    async def story() -> None:
        for seed in range(5):
            for _, action in chaos(POOL, seed):
                error = await lab.try_to(action)
                assert error is None or isinstance(error, BillowError)

    lab.run(story())


def test_two_engines_share_a_world_in_memory() -> None:
    world, clock = World.of(POOL), VirtualClock()
    first, second = SimEngine(world, clock), SimEngine(world, clock)

    async def story() -> None:
        async for _ in first.perform(place("x", "h1"), fence=1):
            assert await second.find("place-x") is Trace.RUNNING
        assert (await second.sense()).instance("x").host == "h1"

    asyncio.run(story())
