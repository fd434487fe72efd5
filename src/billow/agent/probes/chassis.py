# SPDX-License-Identifier: Apache-2.0
"""Power supplies, fans and temperatures, by the host's own management controller."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.agent.probes.program import found, output
from billow.model.ha.evidence import Hardware, Symptom

DEVICES: Final = (Path("/dev/ipmi0"), Path("/dev/ipmi/0"), Path("/dev/ipmidev/0"))
_SAYS: Final = (
    ("power supply ac lost", "power", "a power supply has no power"),
    ("failure detected", "power", "a power supply failed"),
    ("predictive failure", "power", "a power supply forecasts its failure"),
    ("redundancy lost", "power", "redundancy is lost"),
    ("redundancy degraded", "power", "redundancy is degraded"),
)
_CRITICAL: Final = {"cr": "critical", "nr": "beyond what it bears"}


class Chassis(Probe):
    """Every sensor that ipmitool lists."""

    name = "chassis"
    period_s = 60.0

    def missing(self) -> str:
        """Return what the host lacks for it."""
        if not found("ipmitool"):
            return "no ipmitool"
        return "" if any(each.exists() for each in DEVICES) else "no management controller"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return what the sensors say."""
        text = output(found("ipmitool"), "sdr", "elist", timeout_s=50)
        return list(judge(text, wall))


def judge(text: str, wall: float) -> Iterator[Symptom]:
    """Yield what `ipmitool sdr elist` says: `name | number | state | entity | reading`."""
    for line in text.splitlines():
        words = [word.strip() for word in line.split("|")]
        if len(words) != 5:
            continue
        name, number, state, _, reading = words
        subject = f"{name} {number}"
        for sign, probe, seen in _SAYS:
            if sign in reading.lower():
                yield Symptom(probe, subject, Hardware.PREDICTED, seen, wall)
                break
        else:
            yield from _by_state(subject, state, reading, wall)


def _by_state(subject: str, state: str, reading: str, wall: float) -> Iterator[Symptom]:
    if state not in _CRITICAL:
        return
    hot = "degrees" in reading
    probe = "temperature" if hot else "fan" if "RPM" in reading else "chassis"
    grade = Hardware.HURTING if hot and state == "nr" else Hardware.PREDICTED
    yield Symptom(probe, subject, grade, f"its value is {_CRITICAL[state]}", wall)
