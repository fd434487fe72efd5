# SPDX-License-Identifier: Apache-2.0
"""Assessing moves of a simulated pool: what is foretold is what its own migrations do."""

import math

import pytest

from billow.engines.sim.assess import assess
from billow.engines.sim.precopy import Precopy, Turn
from billow.engines.sim.setting import Setting
from billow.errors import Invalid, NotFound
from billow.model.action import Migrate
from billow.model.assessment import Assessment, Way
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.convergence import SETUP_S, SWITCH_S, predict

SETTING = Setting()


def pool(dirty_mib_s: float, state: State = State.RUNNING) -> Pool:
    hosts = [Host(name, (Node(4000, 16384),), bandwidth_mib_s=100.0) for name in ("a", "b", "c")]
    instance = Instance("x", Shape("s", 1000, 1000), host="a", state=state, dirty_mib_s=dirty_mib_s)
    return Pool.build(hosts, [instance])


def found(dirty_mib_s: float, **more: State) -> Assessment:
    return assess(pool(dirty_mib_s, **more), SETTING, "x", "b", ())


@pytest.mark.parametrize("dirty", [0.0, 10.0, 40.0, 60.0])
def test_a_copy_takes_as_long_as_foretold(dirty: float) -> None:
    copy = Precopy("a", "b", 1000.0, dirty, SETTING.timing, 0.0)
    copy.flow(100.0, 0.0)
    while (turn := copy.turn(copy.turns_at)) is Turn.COPY:
        pass
    assert turn is Turn.SWITCH
    told = found(dirty)
    ahead = predict(told.guest, told.link, told.used)
    still = copy.turns_at - copy.since
    assert ahead.seconds - SETUP_S == pytest.approx(copy.turns_at - SETTING.timing.switch_s)
    assert ahead.downtime_s - SWITCH_S == pytest.approx(still - SETTING.timing.switch_s)
    assert ahead.rounds == copy.rounds


def test_moves_that_share_a_host_share_its_link() -> None:
    others = [
        Migrate(id=f"m{number}", instance=f"y{number}", source=source, target=target)
        for number, (source, target) in enumerate([("a", "c"), ("c", "b"), ("c", "d")])
    ]
    assert assess(pool(1.0), SETTING, "x", "b", others).link.moves == 3


def test_what_is_not_known_is_said() -> None:
    told = found(math.nan)
    assert not told.guest.writes_known
    assert told.gaps
    asleep = found(50.0, state=State.STOPPED)
    assert predict(asleep.guest, asleep.link, Way.PLAIN).sent_mib == 0


def test_who_cannot_move_there_is_refused() -> None:
    with pytest.raises(Invalid):
        assess(pool(1.0), SETTING, "x", "a", ())
    for name, target in (("x", "nowhere"), ("nobody", "b")):
        with pytest.raises(NotFound):
            assess(pool(1.0), SETTING, name, target, ())
