# SPDX-License-Identifier: Apache-2.0
"""Simulated hosts fail in every way, are told of as they are, and a double run is always found."""

from pathlib import Path

import numpy as np
import pytest

from billow.engines.sim.condition import BOOT_S, LEASE_S
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.fault import Fault
from billow.engines.sim.script import Mishap, Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.watched import LIMIT_S, Ear
from billow.engines.sim.world import World
from billow.errors import Invalid, NotFound, Refused, Unavailable
from billow.model.action import Evacuate, Migrate, PowerOff, PowerOn, Start
from billow.model.ha.evidence import NETWORKS, Hardware, Network
from billow.model.kinds import Health, Power, State
from billow.ports import Bmc, Commander, Observer
from billow.testing.clock import VirtualClock
from billow.testing.pools import pool
from billow.testing.stand import do

pytestmark = pytest.mark.anyio
START = 1000.0
POOL = "6 hosts x 64GiB 16c; a: 2 vms x 4GiB 2c on=h1; b: 1 vms x 4GiB 2c on=h2"
M, T, S = NETWORKS


class Hosts:
    """A world, its clock, and one controller's engine on it."""

    def __init__(self, script: str = "") -> None:
        self.clock = VirtualClock(START)
        self.world = World(pool(POOL), Setting(script=Script.parse(script)))
        self.engine = SimEngine(self.world, self.clock, Ear("c1"))
        self.world.look(self.clock.now())

    def strike(self, *lines: str) -> None:
        for line in lines:
            self.engine.watched.strike(Fault.parse(line))

    def missed(self, host: str = "h1") -> list[Network]:
        """Return the networks on which this controller misses a host now."""
        view = self.engine.view(self.clock.now())
        row = view.missed(self.clock.now())[view.hosts.index(host)]
        return [network for network, lost in zip(NETWORKS, row, strict=True) if lost]

    def guests(self, host: str = "h1") -> tuple[str, ...]:
        """Return what a host's agent says that runs there."""
        return self.engine.view(self.clock.now()).reports[host].guests

    async def state(self, name: str = "a1") -> State:
        return (await self.engine.sense()).instance(name).state

    def double_runs(self) -> list[tuple[str, tuple[str, ...]]]:
        self.world.look(self.clock.now())
        return [(each.instance, each.hosts) for each in self.world.field.copies.double_runs]


def evacuate(name: str = "a1", target: str = "h3", epoch: int = 1) -> Evacuate:
    return Evacuate(
        id=f"i.{name}.{epoch}",
        instance=name,
        source="h1",
        target=target,
        epoch=epoch,
        incident="i",
    )


def test_whom_nobody_knows_nothing_befalls() -> None:
    for line in ("host h9 freezes", "rack r9 goes dark", "zone z9 loses everything"):
        with pytest.raises(Invalid, match="there is no"):
            Hosts().strike(line)
    with pytest.raises(Invalid, match="there is no host"):
        Hosts("at 5 host h9 loses storage")


def test_a_simulated_pool_is_watched_commanded_and_powered() -> None:
    engine = Hosts().engine
    assert isinstance(engine, Observer)
    assert isinstance(engine, Commander)
    assert isinstance(engine, Bmc)


async def test_a_lost_network_is_missed_after_five_beats_and_heard_when_it_is_back() -> None:
    held = Hosts()
    assert held.missed() == []
    held.strike("host h1 loses storage")
    await held.clock.sleep(LIMIT_S - 0.1)
    assert held.missed() == []
    await held.clock.sleep(0.4)
    assert held.missed() == [S]
    assert held.missed("h2") == []
    held.strike("host h1 regains everything")
    assert held.missed() == []
    assert await held.state() is State.RUNNING


async def test_a_script_strikes_at_its_moments() -> None:
    held = Hosts("at 5 host h1 loses tenant\nat 9 all loses storage\nat 20 host h1 heals")
    assert [each.mishap for each in held.world.setting.script.moments] == [Mishap.BEFALLS] * 3
    await held.clock.sleep(7.0)
    assert held.missed() == [T]
    await held.clock.sleep(5.0)
    assert held.missed() == [T, S]
    assert held.missed("h6") == [S]
    await held.clock.sleep(10.0)
    assert held.missed() == []


async def test_an_observer_that_lost_its_own_network_says_so() -> None:
    held = Hosts()
    other = SimEngine(held.world, held.clock, Ear("c2"))
    held.strike("observer c1 loses storage")
    await held.clock.sleep(1.5)
    view, second = (each.view(held.clock.now()) for each in (held.engine, other))
    assert view.sound == (True, True, False)
    assert view.missed(held.clock.now())[:, 2].all()
    assert second.sound == (True, True, True)
    assert not second.missed(held.clock.now()).any()
    with pytest.raises(Unavailable):
        await held.engine.order("h1", S, {"do": "look"})


async def test_an_observer_that_hears_nobody_does_not_pass_its_own_check() -> None:
    held = Hosts()
    assert held.engine.view(held.clock.now()).sound == (True, True, True)
    held.strike("all goes dark")
    await held.clock.sleep(1.5)
    assert held.engine.view(held.clock.now()).sound == (False, False, False)
    held.strike("host h1 comes up", "host h2 comes up", "host h2 loses tenant")
    await held.clock.sleep(1.5)
    assert held.engine.view(held.clock.now()).sound == (True, False, True)


async def test_a_host_that_came_back_tells_which_guests_run_on_it() -> None:
    held = Hosts()
    held.strike("host h1 goes dark")
    await held.clock.sleep(1.5)
    held.strike("host h1 comes up")
    assert held.guests() == ()
    for name in ("a2", "a1"):
        await do(held.engine, Start(id=f"s.{name}", instance=name, host="h1"))
    assert held.guests() == ("a1", "a2")
    fence = await held.engine.order("h1", M, {"do": "fence", "fence": 1})
    assert fence["gone"] == ["a1", "a2"]
    assert held.guests() == ()


async def test_a_watchdog_resets_a_host_that_nobody_acknowledges() -> None:
    held = Hosts()
    held.strike("host h1 loses everything")
    await held.clock.sleep(LEASE_S - 0.5)
    assert await held.state() is State.RUNNING
    await held.clock.sleep(0.7)
    assert await held.state() is State.FAILED
    await held.clock.sleep(BOOT_S)
    held.strike("host h1 regains everything")
    report = held.engine.view(held.clock.now()).reports["h1"]
    assert (report.boot, report.quarantined) == ("2", True)
    assert await held.state() is State.FAILED, "a host that returns starts nothing"


async def test_a_lease_is_excused_while_the_peers_are_silent_too() -> None:
    """The loss of all controllers ends no instance; one peer that is heard again does."""
    held = Hosts()
    held.strike("all loses everything")
    await held.clock.sleep(3600.0)
    assert await held.state() is State.RUNNING
    held.strike("host h5 regains management")
    await held.clock.sleep(1.5)
    assert await held.state() is State.FAILED


async def test_without_a_lease_nothing_resets_a_silent_host() -> None:
    held = Hosts()
    held.strike("host h1 lease 0", "host h1 loses everything")
    await held.clock.sleep(3600.0)
    assert await held.state() is State.RUNNING
    assert held.engine.view(held.clock.now()).reports["h1"].lease_s == 0.0


async def test_a_hung_agent_loses_its_lease_and_a_started_one_keeps_it() -> None:
    held = Hosts()
    held.strike("host h1 agent hangs", "host h2 agent dies")
    await held.clock.sleep(2.0)
    assert held.missed("h1") == list(NETWORKS)
    assert held.missed("h2") == [], "its kernel says that the process has ended"
    assert held.engine.view(held.clock.now()).reports["h1"].answers
    held.strike("host h2 agent starts")
    await held.clock.sleep(LEASE_S)
    assert await held.state("a1") is State.FAILED
    assert await held.state("b1") is State.RUNNING


async def test_an_agent_ends_what_runs_and_obeys_no_older_fence() -> None:
    held = Hosts()
    held.strike("host h1 loses storage")
    answer = await held.engine.order("h1", M, {"do": "fence", "fence": 7})
    assert answer == {"ok": True, "text": "2 guests were ended", "gone": ["a1", "a2"]}
    assert await held.state() is State.FAILED
    late = await held.engine.order("h1", T, {"do": "fence", "fence": 6})
    assert late["ok"] is False
    with pytest.raises(Unavailable):
        await held.engine.order("h1", S, {"do": "fence", "fence": 8})
    await do(held.engine, evacuate())
    assert await held.state() is State.RUNNING
    assert held.double_runs() == []


async def test_a_management_controller_turns_off_and_on() -> None:
    held = Hosts()
    assert await held.engine.power("h1") is Power.ON
    assert "twice" in await held.engine.off("h1")
    seen = await held.engine.sense()
    assert seen.host("h1").power is Power.OFF
    assert seen.instance("a1").state is State.FAILED
    assert await held.engine.off("h1"), "off already is off"
    await held.engine.on("h1")
    await held.clock.sleep(BOOT_S + 1.0)
    assert held.missed() == []
    assert (await held.engine.sense()).host("h1").health is Health.OK
    with pytest.raises(NotFound):
        await held.engine.power("h9")


async def test_management_controllers_are_dead_slow_another_hosts_or_lie() -> None:
    held = Hosts()
    mine = await held.engine.identity("h1")
    held.strike("host h1 bmc dies", "host h2 bmc lies", "host h3 bmc is another's")
    for ask in (held.engine.power, held.engine.off, held.engine.identity):
        with pytest.raises(Unavailable):
            await ask("h1")
    assert await held.engine.power("h2") is Power.OFF
    assert await held.engine.off("h2")
    assert await held.state("b1") is State.RUNNING, "it lied"
    assert held.missed("h2") == []
    with pytest.raises(Refused):
        await held.engine.off("h3")
    assert await held.engine.identity("h3") != mine
    held.strike("host h1 bmc answers after 5")
    began = held.clock.now()
    assert await held.engine.power("h1") is Power.ON
    assert held.clock.now() - began == pytest.approx(5.0)
    assert await held.engine.identity("h1") == mine


async def test_a_lie_that_is_believed_is_found_as_a_double_run() -> None:
    """Silent on all networks, its storage lock gone, and a management controller that lies."""
    held = Hosts()
    held.strike("host h1 lease 0", "host h1 bmc lies", "host h1 loses everything")
    await held.engine.off("h1")
    await do(held.engine, evacuate())
    assert held.double_runs() == [("a1", ("h1", "h3"))]
    assert not held.world.rests, "that is never forgotten"
    assert any("runs twice" in what for _, what in held.world.history)


async def test_a_disk_that_is_held_refuses_while_its_host_has_storage() -> None:
    held = Hosts()
    held.strike("host h1 loses management tenant")
    with pytest.raises(Refused, match="run twice"):
        await do(held.engine, evacuate())
    held.strike("host h1 freezes")
    with pytest.raises(Refused, match="run twice"):
        await do(held.engine, evacuate(epoch=2))
    assert held.double_runs() == []


async def test_a_frozen_copy_runs_twice_only_when_it_thaws() -> None:
    held = Hosts()
    held.strike("host h1 lease 0", "host h1 loses storage", "host h1 freezes")
    await do(held.engine, evacuate())
    assert held.double_runs() == []
    held.strike("host h1 thaws")
    assert held.double_runs() == [("a1", ("h1", "h3"))]


async def test_a_frozen_copy_that_is_reset_never_runs_twice() -> None:
    held = Hosts()
    held.strike("host h1 loses storage", "host h1 freezes")
    await do(held.engine, evacuate())
    await held.clock.sleep(LEASE_S + BOOT_S + 1.0)
    held.strike("host h1 regains storage")
    assert held.double_runs() == []
    assert (await held.engine.sense()).instance("a2").state is State.FAILED


async def test_what_returns_is_cleaned_of_what_runs_elsewhere() -> None:
    held = Hosts()
    held.strike("host h1 lease 0", "host h1 loses storage", "host h1 freezes")
    await do(held.engine, evacuate())
    held.strike("host h1 loses everything", "host h1 thaws", "host h1 regains management")
    said = await held.engine.order("h1", M, {"do": "clean", "fence": 3, "instances": ["a1"]})
    assert said["gone"] == ["a1"]
    assert list(held.world.field.copies.on("h1")) == ["a2"]


async def test_a_cleaning_of_another_boot_is_refused() -> None:
    held = Hosts()
    held.strike("host h1 goes dark", "host h1 comes up")
    late = await held.engine.order("h1", M, {"do": "clean", "fence": 3, "boot": "1"})
    assert (late["ok"], late["text"]) == (False, "it is of another boot: 1")
    assert held.engine.view(held.clock.now()).reports["h1"].quarantined
    assert (await held.engine.order("h1", M, {"do": "clean", "fence": 3, "boot": "2"}))["ok"]


async def test_a_last_gasp_is_heard_if_anybody_can_hear_it() -> None:
    held = Hosts()
    held.strike("host h2 loses everything", "host h1 gasps", "host h2 gasps")
    view = held.engine.view(held.clock.now())
    assert view.reports["h1"].gasped
    assert not view.reports["h2"].gasped
    assert await held.state() is State.FAILED


async def test_symptoms_are_told_and_clean_beats_counted_after_them() -> None:
    held = Hosts()
    await held.clock.sleep(5.0)
    held.strike("host h1 hardware hurting")
    report = held.engine.view(held.clock.now()).reports["h1"]
    assert [each.grade for each in report.symptoms] == [Hardware.HURTING]
    assert report.symptoms[0].since == START + 5.0
    assert report.clean_beats == 0
    held.strike("host h1 hardware sound")
    await held.clock.sleep(2.1)
    report = held.engine.view(held.clock.now()).reports["h1"]
    assert (report.symptoms, report.clean_beats) == ((), 10)


async def test_nobody_misses_a_host_that_a_plan_turned_off() -> None:
    held = Hosts()
    await do(held.engine, PowerOff(id="off", host="h6"))
    assert "h6" not in held.engine.view(held.clock.now()).hosts
    await do(held.engine, PowerOn(id="on", host="h6"))
    view = held.engine.view(held.clock.now())
    assert not view.missed(held.clock.now()).any()
    assert not view.reports["h6"].quarantined


async def test_nothing_is_done_on_a_host_that_does_not_answer() -> None:
    held = Hosts()
    held.strike("host h1 loses everything")
    move = Migrate(id="m", instance="a1", source="h1", target="h2")
    assert [each.reason for each in await held.engine.blockers(move)] == ["host h1 does not answer"]


async def test_a_kept_world_remembers_what_befell_it(tmp_path: Path) -> None:
    """Another process sees the same hosts; one that begins again, too."""
    clock = VirtualClock(START)

    def engine() -> SimEngine:
        return SimEngine.open(lambda: pool(POOL), clock, state_path=tmp_path / "world")

    first, second = engine(), engine()
    first.watched.strike(Fault.parse("host h1 loses storage tenant"))
    await clock.sleep(2.0)
    await second.order("h1", M, {"do": "fence", "fence": 2})
    await clock.sleep(2.0)
    views = [each.view(clock.now()) for each in (first, second, engine())]
    for view in views[1:]:
        assert view.hosts == views[0].hosts
        assert np.array_equal(view.heard_at, views[0].heard_at)
        assert view.reports == views[0].reports
    assert (await engine().sense()).instance("a1").state is State.FAILED
    first.watched.strike(Fault.parse("all heals"))
    assert (await engine().sense()).instance("b1").state is State.RUNNING


def test_a_fleet_that_is_well_is_seen_at_no_cost_per_host() -> None:
    held = Hosts()
    view = held.engine.view(held.clock.now())
    assert view.reports == {}
    assert held.world.field.rests
    held.strike("host h1 loses storage", "host h1 regains storage")
    assert held.world.field.rests, "what is as it was need not be remembered"
