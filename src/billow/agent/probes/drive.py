# SPDX-License-Identifier: Apache-2.0
"""Drives: what they forecast of themselves, by smartctl's JSON and nvme-cli's."""

import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from billow.agent.probes.probe import Probe
from billow.agent.probes.program import found, output
from billow.model.ha.evidence import Hardware, Symptom

WARNINGS: Final = (
    (1, Hardware.PREDICTED, "its spare blocks run out"),
    (2, Hardware.PREDICTED, "it is too hot or too cold"),
    (4, Hardware.PREDICTED, "it is no longer reliable"),
    (8, Hardware.HURTING, "it has become read-only"),
    (16, Hardware.PREDICTED, "its backup of volatile memory failed"),
    (32, Hardware.HURTING, "its persistent memory has become unreliable"),
)
"""Bits of NVMe's `critical_warning` (NVM Express base specification, SMART log page)."""
WORN_PERCENT: Final = 100
_EXIT_FAILING, _EXIT_PREFAIL, _EXIT_ERRORS = 8, 16, 64  # bits 3, 4 and 6: smartctl(8)
_REALLOCATED, _PENDING, _UNCORRECTABLE = 5, 197, 198
_MANY_SECTORS: Final = 10
_FIRST_WITH_JSON: Final = 7
ASK_S: Final = 20.0
"""A drive that has not answered by then hangs."""

Document = dict[str, Any]


class Drives(Probe):
    """Asks each drive by itself: one that does not answer hides no other, nor what it said before.

    Raises OSError when none answers.
    """

    period_s = 300.0

    def __init__(self) -> None:
        self._said: dict[str, tuple[Symptom, ...]] = {}

    def look(self, wall: float) -> Iterable[Symptom]:
        """Ask each drive."""
        refusals: list[OSError] = []
        drives = list(self.drives())
        for name, question in drives:
            try:
                self._said[name] = tuple(self.judge(name, asked(*question), wall))
            except OSError as error:
                refusals.append(error)
            yield from self._said.get(name, ())
        if refusals and len(refusals) == len(drives):
            raise refusals[0]

    @abstractmethod
    def drives(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Yield the name of each drive and the command that asks it. Does I/O."""

    @abstractmethod
    def judge(self, drive: str, answer: Document, wall: float) -> Iterator[Symptom]:
        """Yield what an answer says of a drive."""


class Smart(Drives):
    """Every drive that smartctl finds."""

    name = "drive-smart"

    def missing(self) -> str:
        """Return what the host lacks for it."""
        if not found("smartctl"):
            return "no smartctl: install smartmontools"
        return "" if smartctl_speaks_json() else "smartctl is too old: install smartmontools 7"

    def drives(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Yield what smartctl finds."""
        smartctl = found("smartctl")
        for each in asked(smartctl, "--scan", "-j").get("devices", []):
            question = (smartctl, "-j", "-a", "-n", "standby", "-d", each["type"], each["name"])
            yield Path(each["name"]).name, question

    def judge(self, drive: str, answer: Document, wall: float) -> Iterator[Symptom]:
        """Yield what smartctl says of a drive."""
        return judge_smart(drive, answer, wall)


class Nvme(Drives):
    """NVMe drives, where nvme-cli is there and no smartctl that could be asked."""

    name = "drive-nvme"

    def __init__(self, folder: Path = Path("/dev")) -> None:
        super().__init__()
        self._folder = folder

    def missing(self) -> str:
        """Return what the host lacks for it."""
        if found("smartctl") and smartctl_speaks_json():
            return "smartctl looks after NVMe drives as well"
        if not found("nvme"):
            return "no nvme: install nvme-cli"
        return "" if list(self.drives()) else "no NVMe drives"

    def drives(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Yield the drives, which have names as `nvme12`; `nvme12n1` is a part of one."""
        for device in sorted(self._folder.glob("nvme*")):
            if re.fullmatch(r"nvme\d+", device.name):
                yield device.name, (found("nvme"), "smart-log", str(device), "-o", "json")

    def judge(self, drive: str, answer: Document, wall: float) -> Iterator[Symptom]:
        """Yield what nvme-cli says of a drive."""
        return judge_nvme(drive, answer, wall)


def smartctl_speaks_json() -> bool:
    """Return whether smartctl is of a version that knows -j; an older one prints its usage."""
    first = re.match(r"smartctl (\d+)\.", output(found("smartctl"), "--version", timeout_s=5))
    return first is not None and int(first.group(1)) >= _FIRST_WITH_JSON


def asked(*command: str) -> Document:
    """Return the JSON that a program prints; empty for nothing. Raises OSError for other things."""
    text = output(*command, timeout_s=ASK_S)
    try:
        answer = json.loads(text or "{}")
    except ValueError as error:
        raise OSError(f"{command[0]} prints no JSON: {text.strip()[:80]}") from error
    if not isinstance(answer, dict):
        raise OSError(f"{command[0]} prints another JSON than expected")
    return answer


def judge_smart(drive: str, answer: Document, wall: float) -> Iterator[Symptom]:
    """Yield what `smartctl -j -a` says of a drive."""
    code = answer.get("smartctl", {}).get("exit_status", 0)
    passed = answer.get("smart_status", {}).get("passed", True)
    if not passed or code & _EXIT_FAILING:
        text = "the drive says that it is failing (SMART)"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)
    elif code & _EXIT_PREFAIL:
        text = "a value that forecasts failure is below its threshold (SMART)"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)
    if log := answer.get("nvme_smart_health_information_log"):
        yield from judge_nvme(drive, log, wall)
    if worn := list(_sectors(answer)):
        text = f"more than {_MANY_SECTORS} sectors are {' and '.join(worn)}"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)
    defects = int(answer.get("scsi_grown_defect_list") or 0)
    if defects > _MANY_SECTORS:
        text = f"more than {_MANY_SECTORS} grown defects"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)


def judge_nvme(drive: str, log: Document, wall: float) -> Iterator[Symptom]:
    """Yield what a SMART log of an NVMe drive says, in smartctl's names or in nvme-cli's."""
    warning = log.get("critical_warning", 0)
    warning = warning.get("value", 0) if isinstance(warning, dict) else warning
    for bit, grade, text in WARNINGS:
        if warning & bit:
            yield Symptom("drive", drive, grade, f"NVMe: {text}", wall)
    used = int(log.get("percentage_used") or log.get("percent_used") or 0)
    if used >= WORN_PERCENT:
        yield Symptom("drive", drive, Hardware.PREDICTED, "it is worn out by its own count", wall)
    if log.get("media_errors", 0):
        text = "data could not be read back (media errors)"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)


def _sectors(answer: Document) -> Iterator[str]:
    words = {_REALLOCATED: "replaced", _PENDING: "pending", _UNCORRECTABLE: "unreadable"}
    for attribute in answer.get("ata_smart_attributes", {}).get("table", ()):
        many = int(attribute.get("raw", {}).get("value") or 0) > _MANY_SECTORS
        if many and attribute.get("id") in words:
            yield words[attribute["id"]]
