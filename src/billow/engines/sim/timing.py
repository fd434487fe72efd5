# SPDX-License-Identifier: Apache-2.0
"""How long things take in a simulated world.

The defaults are the ones that plans are costed with, so that a plan's expected time and the
simulator's agree where nothing is shared and nothing fails.
"""

from dataclasses import dataclass, fields

from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.names import check_measure
from billow.plan.convergence import SETUP_S, SWITCH_S
from billow.plan.lanes import STREAM_MIB_S


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds of the world, and the laws of pre-copy migration.

    Attributes:
        cold_move_s: Moving a stopped instance; its disk is on storage that all hosts share.
        setup_s: Before the memory of a live migration flows; its links are free meanwhile.
        stream_mib_s: What one migration carries at most, however fast the link is.
        switch_s: The fixed part of a migration's standstill.
        downtime_limit_s: What is left to copy must fit into this before the switch.
        most_rounds: Pre-copy rounds after which a migration that cannot finish fails.
        throttle: Whether an instance that writes faster than it is copied can be slowed down.
        ring: Whether hosts know what each vCPU writes, so that only writers are slowed down.
        post_copy: Whether an instance can run on its target before its memory is there.
        report_s: How often `perform` says how far it is.
    """

    place_s: float = 2.0
    start_s: float = 1.0
    stop_s: float = 1.0
    delete_s: float = 0.5
    resize_s: float = 2.0
    touch_s: float = 0.1
    cordon_s: float = 0.0
    power_on_s: float = 120.0
    power_off_s: float = 30.0
    fence_s: float = 5.0
    cold_move_s: float = 2.0
    setup_s: float = SETUP_S - SWITCH_S
    stream_mib_s: float = STREAM_MIB_S
    switch_s: float = SWITCH_S
    downtime_limit_s: float = 0.3
    most_rounds: int = 30
    throttle: bool = True
    ring: bool = True
    post_copy: bool = True
    report_s: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            check_measure(each.name, float(getattr(self, each.name)), most=1e9)

    def of(self, action: Action) -> float:
        """Return how long an action takes that copies no memory, seconds."""
        if isinstance(action, Stop):
            return min(action.grace_s, self.stop_s)
        return float(getattr(self, _FIELD.get(type(action), "cold_move_s")))


_FIELD: dict[type[Action], str] = {
    Place: "place_s",
    Start: "start_s",
    Delete: "delete_s",
    Resize: "resize_s",
    Throttle: "touch_s",
    Suspend: "touch_s",
    Resume: "touch_s",
    Allot: "touch_s",
    Cordon: "cordon_s",
    Uncordon: "cordon_s",
    PowerOn: "power_on_s",
    PowerOff: "power_off_s",
    Fence: "fence_s",
    Evacuate: "start_s",
}
