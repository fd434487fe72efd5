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
    ("predictive failure deasserted", "", ""),
    ("power supply ac lost", "power", "a power supply has no power"),
    ("out-of-range", "power", "a power supply's feed is lost or out of range"),
    ("failure detected", "power", "a power supply failed"),
    ("drive fault", "drive", "a drive has failed"),
    ("in critical array", "drive", "a drive's array has lost its redundancy"),
    ("in failed array", "drive", "a drive's array has failed"),
    ("predictive failure", "", "it forecasts its failure"),
    ("redundancy lost", "power", "redundancy is lost"),
    ("redundancy degraded", "power", "redundancy is degraded"),
)
"""What discrete sensors say, with the probe; by what the sensor belongs to where that is empty."""
_CRITICAL: Final = dict.fromkeys(("cr", "lcr", "ucr"), "critical") | dict.fromkeys(
    ("nr", "lnr", "unr"), "beyond what it bears"
)
"""`sdr elist` says on which side (`ucr`: above), `sdr list` does not."""
_TOO_HOT: Final = frozenset({"nr", "unr"})
_BELONGS: Final = {"10": "power", "19": "power", "4": "drive", "26": "drive", "29": "fan"}
"""Entity ids of the IPMI specification, table 43-13: power supply and unit, disk and bay, fan."""


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
        name, number, state, entity, reading = words
        subject = f"{name} {number}"
        for sign, probe, seen in _SAYS:
            if sign in reading.lower():
                if seen:
                    of = probe or owner(entity, reading)
                    yield Symptom(of, subject, Hardware.PREDICTED, seen, wall)
                break
        else:
            yield from _by_state(subject, (state, entity, reading), wall)


def owner(entity: str, reading: str) -> str:
    """Return the probe's name for what a sensor belongs to."""
    if "degrees" in reading:
        return "temperature"
    if "RPM" in reading:
        return "fan"
    if "Drive" in reading:
        return "drive"
    return _BELONGS.get(entity.partition(".")[0], "chassis")


def _by_state(subject: str, sensor: tuple[str, str, str], wall: float) -> Iterator[Symptom]:
    state, entity, reading = sensor
    if state not in _CRITICAL:
        return
    probe = owner(entity, reading)
    burns = probe == "temperature" and state in _TOO_HOT
    grade = Hardware.HURTING if burns else Hardware.PREDICTED
    yield Symptom(probe, subject, grade, f"its value is {_CRITICAL[state]}", wall)
